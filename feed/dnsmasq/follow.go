package dnsmasq

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/leasehold/leasehold/feed"
)

const (
	poll      = time.Second            // how often the file is looked at when the kernel does not tell of changes
	settled   = 20 * time.Millisecond  // how long a file must not have changed to be believed
	hasty     = 200 * time.Millisecond // after which one that changes all the time is believed too, but for what it lacks
	unsettled = 10 * time.Second       // how long a file may be incomplete before that is trouble
)

// following is one Run of a Source.
type following struct {
	source *Source
	sink   feed.Sink
	due    bool      // a full statement is
	next   time.Time // when the next one is due

	believed  *content      // what was taken last
	hurried   bool          // what was taken so far was taken once, and perhaps not whole
	candidate *content      // what was read last and may be believed if it does not change
	asked     time.Time     // when the candidate was read first
	waiting   time.Time     // since when nothing was believed that was read; zero: nothing waits
	again     time.Duration // after which the file is to be read again; 0: when something happens
}

// run follows until ctx ends.
func (f *following) run(ctx context.Context) (err error) {
	f.remember()
	defer func() { f.source.troubles.Set(stateFile, f.source.known.memory.close()) }()
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	rung := make(chan struct{}, 1)
	group.Go(func() { f.ring(ctx, rung) })
	events := make(chan delivery)
	if f.source.config.Socket != "" {
		group.Go(func() { f.listen(ctx, events) })
	}
	for {
		if err := f.look(ctx); err != nil {
			return err
		}
		if f.sure() && (f.due || !time.Now().Before(f.next)) {
			if err := f.statement(ctx); err != nil {
				return err
			}
		}
		if err := f.wait(ctx, rung, events); err != nil {
			return err
		}
	}
}

// remember opens the memory. What was known in an earlier Run is newer than it.
func (f *following) remember() {
	k := f.source.known
	if f.source.config.State == "" {
		return
	}
	if k.memory != nil {
		f.source.troubles.Set(stateFile, k.memory.rewrite(k.held))
		return
	}
	m, held, err := openMemory(f.source.config.State)
	f.source.troubles.Set(stateFile, err)
	if m != nil {
		k.memory = m
		maps.Copy(held, k.held)
		k.held = held
	}
}

// ring passes on that the file may have changed.
func (f *following) ring(ctx context.Context, rung chan<- struct{}) {
	b := f.source.newBell()
	defer func() { _ = b.Close() }() // nothing is lost by a watch that does not end well
	for {
		if _, err := b.Wait(ctx, nil, poll); err != nil {
			return
		}
		select {
		case rung <- struct{}{}:
		default:
		}
	}
}

// listen takes events in, and opens the socket again while it cannot be.
func (f *following) listen(ctx context.Context, events chan delivery) {
	for ctx.Err() == nil {
		l, err := listen(f.source.config.Socket, f.source.badEvent)
		if err == nil {
			f.source.troubles.Set(eventSocket, nil)
			l.out = events
			err = l.serve(ctx)
		}
		if err == nil {
			return
		}
		f.source.troubles.Set(eventSocket, err)
		select {
		case <-ctx.Done():
		case <-time.After(poll):
		}
	}
}

// wait waits for something to do, and takes events.
func (f *following) wait(ctx context.Context, rung <-chan struct{}, events <-chan delivery) error {
	most := time.Hour
	if f.again > 0 {
		most = f.again
	}
	if f.believed != nil {
		most = max(min(most, time.Until(f.next)), 0)
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	case <-rung:
	case d := <-events:
		return f.hear(ctx, d)
	}
	return nil
}

// hear takes an event, and answers it.
func (f *following) hear(ctx context.Context, d delivery) error {
	f.source.count(func(t *Totals) { t.Events++ })
	changed := f.source.known.hear(d.event, d.received)
	d.answer <- nil
	if changed == nil || f.due {
		return nil
	}
	if err := f.sink.Change(ctx, changed.upsert(f.sink.Now().UnixMilli())); err != nil {
		return err
	}
	return f.sink.Flush(ctx)
}

// look reads the file if it is another than was believed, and believes it if it has not changed since it was last read.
func (f *following) look(ctx context.Context) error {
	f.again = 0
	path := f.source.config.Leases
	info, err := os.Stat(path)
	if err != nil {
		f.source.troubles.Set(leaseFile, err)
		return nil
	}
	if b := f.believed; b != nil && f.candidate == nil && info.ModTime().Equal(b.modified) && info.Size() == int64(len(b.text)) {
		f.source.troubles.Set(leaseFile, nil)
		return nil
	}
	now := time.Now()
	c, err := readFile(path)
	if err != nil {
		f.source.troubles.Set(leaseFile, err)
		return nil
	}
	if f.candidate == nil || !f.candidate.same(c) {
		if f.candidate != nil {
			f.source.count(func(t *Totals) { t.Unstable++ })
		}
		f.candidate, f.asked = c, now
	}
	if f.waiting.IsZero() {
		f.waiting = now
	}
	lacks := c.lacks()
	if f.again = settled - now.Sub(f.asked); f.again > 0 {
		if now.Sub(f.waiting) > hasty && lacks == nil {
			if twice, err := readFile(path); err == nil && twice.same(c) {
				return f.hurry(ctx, c)
			}
		}
		return nil
	}
	f.again = 0
	if lacks != nil {
		f.again = poll
		if now.Sub(f.waiting) > unsettled {
			f.source.troubles.Set(leaseFile, fmt.Errorf("lease file %s: %w", path, lacks))
		}
		return nil
	}
	return f.believe(ctx, c, true)
}

// hurry believes a file that may not be all that dnsmasq writes. It is believed once more when it is sure to be.
func (f *following) hurry(ctx context.Context, c *content) error {
	again, asked := f.again, f.asked
	err := f.believe(ctx, c, false)
	f.candidate, f.asked, f.again = c, asked, again
	return err
}

// believe takes what the file says; whole tells that it is surely all that dnsmasq wrote.
func (f *following) believe(ctx context.Context, c *content, whole bool) error {
	f.source.troubles.Set(leaseFile, nil)
	s := parseLeases(c.text)
	f.source.report(s.problems)
	d := f.source.known.believe(&s, whole, f.asked, c.modified)
	f.hurried = !whole && f.believed == nil
	f.believed, f.candidate, f.waiting = c, nil, time.Time{}
	f.source.count(func(t *Totals) { t.Files++ })
	if f.due || len(d.changed)+len(d.ended) == 0 {
		return nil // a full statement follows
	}
	return f.state(ctx, &d, c.modified.UnixMilli())
}

// sure tells whether enough was taken for a statement: of a file that was read once while it was written, too few leases may be known.
func (f *following) sure() bool { return f.believed != nil && !f.hurried }

// state states what has changed.
func (f *following) state(ctx context.Context, d *differences, at int64) error {
	for i := range d.ended {
		if err := f.sink.Change(ctx, d.ended[i].end(f.sink.Now().UnixMilli(), at)); err != nil {
			return err
		}
	}
	for i := range d.changed {
		l := &d.changed[i]
		now := f.sink.Now()
		c := l.upsert(now.UnixMilli())
		if !l.leased(now.Unix()) {
			c = l.end(now.UnixMilli(), now.UnixMilli())
		}
		if err := f.sink.Change(ctx, c); err != nil {
			return err
		}
	}
	return f.sink.Flush(ctx)
}

// statement states everything that is known.
func (f *following) statement(ctx context.Context) error {
	links := f.source.config.Links
	if err := f.sink.BeginResync(ctx, len(links) > 0); err != nil {
		return err
	}
	for i := range links {
		if err := f.sink.Change(ctx, feed.DefineLink(&links[i])); err != nil {
			return err
		}
	}
	held := f.source.known.held
	for _, a := range slices.SortedFunc(maps.Keys(held), netip.Addr.Compare) {
		l := held[a]
		now := f.sink.Now()
		if !l.leased(now.Unix()) {
			continue
		}
		if err := f.sink.Change(ctx, l.upsert(now.UnixMilli())); err != nil {
			return err
		}
	}
	if err := f.sink.EndResync(ctx); err != nil {
		return err
	}
	f.due, f.next = false, time.Now().Add(f.source.config.Resync)
	f.source.count(func(t *Totals) { t.Statements++ })
	return nil
}
