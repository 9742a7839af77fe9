package kea

import (
	"sync"
	"time"
)

// mendPause is between full statements because of missed pushes.
const mendPause = 15 * time.Second

// breaker is open from when a push was not acknowledged in time until anything is again: meanwhile pushes are not waited for, so
// that Kea does not keep more and more of them. gap tells that something was refused and has to be made good.
type breaker struct {
	mu   sync.Mutex
	open bool
	gap  bool
}

func (b *breaker) trip() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = true
}

// close tells whether it was open.
func (b *breaker) close() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.open
	b.open = false
	return was
}

func (b *breaker) tripped() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

func (b *breaker) miss() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gap = true
}

// gaping tells whether something was missed that can be made good now: not while the breaker is open.
func (b *breaker) gaping() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gap && !b.open
}

// mended notes that a full statement was asked for.
func (b *breaker) mended() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gap = false
}

// mend asks for a full statement when pushes were missed and are taken again, soon, but not one after the other: anybody who reaches
// the listener can cause it. The lease file misses nothing.
func (p *pump) mend() {
	if !p.breaker.gaping() {
		return
	}
	now := p.config.now()
	if wait := mendPause - now.Sub(p.mended); wait > 0 {
		p.again.Reset(wait)
		return
	}
	p.mended = now
	p.breaker.mended()
	p.ledger.add(func(t *ServerTotals) { t.Gaps++ })
	switch {
	case len(p.ways) == 0:
		p.log.Error("Pushes were lost, and there is neither a lease file nor Kea's command API to make that good")
	case !p.ways[0].file:
		p.log.Warn("Pushes were lost: Kea's leases are read anew")
		p.ways[0].want()
	}
}
