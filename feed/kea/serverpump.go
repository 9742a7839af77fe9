package kea

import (
	"context"
	"fmt"
	"time"

	"github.com/leasehold/leasehold/feed"
)

const (
	receiptRows = 512                   // of pushes that share a receipt, about
	flushAfter  = 10 * time.Millisecond // that what was looked at waits for a batch to fill
	lagAsk      = 2 * time.Second       // until a lease is asked for that Kea may only just get from its partner
)

// pump is the one goroutine that states, in one run. Pushes go first.
type pump struct {
	*Server
	sink    feed.Sink
	writer  *writer
	answers chan finding
	open    *wayRun   // whose full statement is under way
	looked  time.Time // when Kea was first looked at for it; zero: not yet
	vague   bool      // something in it may be older than what was forgotten
	flush   *time.Timer
	armed   bool // whether flush runs
	mended  time.Time
	again   *time.Timer // until the next full statement may be asked for because of missed pushes
}

func newPump(s *Server, sink feed.Sink) *pump {
	p := &pump{Server: s, sink: sink, answers: make(chan finding), flush: time.NewTimer(flushAfter), again: time.NewTimer(mendPause)}
	p.writer = &writer{server: s, sink: sink, change: newChange()}
	p.flush.Stop()
	p.again.Stop()
	return p
}

// run states until ctx ends.
func (p *pump) run(ctx context.Context) error {
	defer p.flush.Stop()
	defer p.again.Stop()
	if err := p.resume(ctx); err != nil {
		return err
	}
	resync := time.NewTicker(jittered(p.config.Resync))
	defer resync.Stop()
	for {
		if err := p.pushes(ctx); err != nil {
			return err
		}
		p.mend()
		if err := p.step(ctx, resync.C); err != nil {
			return err
		}
	}
}

// step waits for what comes next, and takes it.
func (p *pump) step(ctx context.Context, resync <-chan time.Time) error {
	var acknowledged <-chan struct{}
	if len(p.held) > 0 {
		acknowledged = p.held[0].receipt
	}
	file, pages := p.channels()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.queue.ready:
	case <-p.again.C: // and mend follows
	case <-acknowledged:
		p.acknowledged()
	case c := <-file:
		return p.chunk(ctx, p.ways[0], c)
	case c := <-pages:
		return p.chunk(ctx, p.ways[len(p.ways)-1], c)
	case a := <-p.answers:
		return p.answered(ctx, a)
	case <-p.flush.C:
		p.armed = false
		return p.sink.Flush(ctx)
	case <-resync:
		if len(p.ways) > 0 && p.ways[0].file { // pages alone have their own schedule
			p.ways[len(p.ways)-1].want()
		}
	}
	return nil
}

// channels are where the ways' chunks come from.
func (p *pump) channels() (file, pages <-chan chunk) {
	for _, w := range p.ways {
		if w.file {
			file = w.chunks
		} else {
			pages = w.chunks
		}
	}
	return file, pages
}

// resume states what an earlier run had stated and nobody has acknowledged.
func (p *pump) resume(ctx context.Context) error {
	p.recent.over() // a statement of the earlier run came to no end
	p.recent.advance(p.config.now())
	for _, h := range p.held {
		h.receipt = nil
		for i := range h.rows {
			if r := &h.rows[i]; p.recent.current(r) {
				if err := p.writer.state(ctx, r, h.arrived); err != nil {
					return err
				}
			}
		}
	}
	if err := p.deliver(ctx, p.held); err != nil {
		return err
	}
	if len(p.ways) > 0 {
		return nil
	}
	links, _, err := (&subnets{file: p.config.KeaConfig, logger: p.log}).read(ctx)
	if err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	if err := p.writer.links(ctx, links); err != nil {
		return err
	}
	return p.sink.Flush(ctx)
}

// deliver makes a receipt for pushes that were stated.
func (p *pump) deliver(ctx context.Context, pushes []*held) error {
	if len(pushes) == 0 {
		return nil
	}
	receipt, err := p.sink.Receipt(ctx)
	if err != nil {
		return err
	}
	for _, h := range pushes {
		h.tell(receipt)
	}
	return nil
}

// pushes states all pushes that wait.
func (p *pump) pushes(ctx context.Context) error {
	waiting := p.queue.take()
	if len(waiting) == 0 {
		return nil
	}
	p.recent.advance(p.config.now())
	first := len(p.held)
	p.held = append(p.held, waiting...) // if ctx ends, the next run states them
	for _, h := range waiting {
		p.rule(h)
	}
	rows, from := 0, first
	for i := first; i < len(p.held); i++ {
		h := p.held[i]
		for j := range h.rows {
			if err := p.writer.state(ctx, &h.rows[j], h.arrived); err != nil {
				return err
			}
		}
		if rows += len(h.rows); rows >= receiptRows || i == len(p.held)-1 {
			if err := p.deliver(ctx, p.held[from:i+1]); err != nil {
				return err
			}
			rows, from = 0, i+1
		}
	}
	return nil
}

// rule leaves in a push what takes effect.
func (p *pump) rule(h *held) {
	skew := p.corrected()
	taken := h.rows[:0:0]
	for i := range h.rows {
		r := &h.rows[i]
		late := r.leased() && h.arrived.Add(skew).Sub(time.Unix(r.transaction(), 0)) > lateAfter
		v := p.recent.push(r, h.arrived, h.conn, late)
		if v.ask {
			p.ask(question{prefix: r.prefix, kind: r.kind})
		}
		if v.take {
			taken = append(taken, *r)
		} else {
			p.ledger.add(func(t *ServerTotals) { t.LeftOut++ })
		}
	}
	h.rows = taken
}

// ask has Kea asked for a lease.
func (p *pump) ask(q question) {
	p.ledger.add(func(t *ServerTotals) { t.Asked++ })
	if !p.reread.add(q) {
		p.miss()
	}
}

// acknowledged lets go of the pushes that the cluster has.
func (p *pump) acknowledged() {
	n := 0
	for _, h := range p.held {
		select {
		case <-h.receipt: // never ready without a receipt
		default:
			p.release(n)
			return
		}
		p.queue.done(h)
		n++
	}
	p.release(n)
}

func (p *pump) release(n int) {
	clear(p.held[:n])
	p.held = p.held[n:]
	if n > 0 && p.breaker.close() {
		p.log.Info("The cluster acknowledges again: pushes are waited for")
	}
}
