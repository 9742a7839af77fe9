package jsonlines

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/leasehold/leasehold/feed"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// flushAfter is how long a line waits for others while earlier ones are on their way; while nothing is, it does not wait.
const flushAfter = 10 * time.Millisecond

// pump states lines in one run of the source. It owns the sink.
type pump struct {
	source   *Source
	sink     feed.Sink
	receipts []receipt // of what was flushed, oldest first
	stated   int       // how many of source.pending are stated
	flushed  int       // how many of them are flushed
	timer    *time.Timer
}

// receipt tells when the first items of source.pending, as many as items more than the receipt before, are acknowledged.
type receipt struct {
	acknowledged <-chan struct{}
	items        int
}

// restate states again what was not acknowledged when the session was lost.
func (p *pump) restate(ctx context.Context) error {
	s := p.source
	if s.config.Resync && len(s.pending) == 0 && !s.begun && !s.ended {
		s.begun, s.nth = true, 1
		s.pending = append(s.pending, item{line: line{verb: begin, links: s.config.Links}, nth: 1})
	}
	for i := range s.pending {
		if err := p.state(ctx, &s.pending[i]); err != nil {
			return err
		}
	}
	return nil
}

// run takes lines until the input has ended and everything is acknowledged.
func (p *pump) run(ctx context.Context) error {
	p.timer = time.NewTimer(time.Hour)
	p.timer.Stop()
	defer p.timer.Stop()
	for !p.source.ended || len(p.source.pending) > 0 {
		if err := p.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step does what can be done, or waits until something can. Acknowledgements and the timer have their turn however fast lines come.
func (p *pump) step(ctx context.Context) error {
	select {
	case <-p.next():
		p.acknowledge()
	case <-p.timer.C:
		return p.flush(ctx)
	default:
	}
	select {
	case in := <-p.source.read:
		return p.take(ctx, in)
	default:
	}
	if p.stated > p.flushed && len(p.receipts) == 0 {
		return p.flush(ctx)
	}
	if p.source.ended && len(p.source.pending) == 0 {
		return nil
	}
	return p.wait(ctx)
}

// next is the oldest receipt; nil when there is none.
func (p *pump) next() <-chan struct{} {
	if len(p.receipts) == 0 {
		return nil
	}
	return p.receipts[0].acknowledged
}

// wait waits for whatever comes first.
func (p *pump) wait(ctx context.Context) error {
	select {
	case in := <-p.source.read:
		return p.take(ctx, in)
	case <-p.timer.C:
		return p.flush(ctx)
	case <-p.next():
		p.acknowledge()
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// take takes what was read.
func (p *pump) take(ctx context.Context, in input) error {
	s := p.source
	if in.err != nil {
		return p.end(ctx, in.err)
	}
	s.lines.Add(1)
	if in.refused == nil && in.verb == complete && !s.begun {
		in.refused = &LineError{Line: in.number, Field: "change", Err: fmt.Errorf("%w: complete without begin", ErrLine)}
	}
	if in.refused != nil {
		s.spoilt = s.begun
		s.refuse(in.refused)
		return nil
	}
	switch {
	case in.verb == begin:
		s.begun, s.spoilt = true, false
		s.nth++
		in.nth = s.nth
	case in.verb == complete && s.spoilt:
		p.giveUp()
		return nil
	case in.verb == complete:
		s.begun = false
	}
	return p.push(ctx, in.item)
}

// push states an item that is new.
func (p *pump) push(ctx context.Context, it item) error {
	p.source.pending = append(p.source.pending, it)
	return p.state(ctx, &it)
}

// giveUp leaves a full statement without its end.
func (p *pump) giveUp() {
	s := p.source
	s.begun, s.spoilt, s.open, s.void = false, false, false, s.nth
	s.incomplete.Add(1)
	s.config.Logger.Error("A full statement is not completed, because a line in it was refused: what it has was taken, and nothing is removed")
}

// end is the end of the input.
func (p *pump) end(ctx context.Context, err error) error {
	s := p.source
	s.ended = true
	if !errors.Is(err, io.EOF) {
		s.err = fmt.Errorf("%w: %w", ErrInput, err)
	}
	switch {
	case !s.begun:
	case s.spoilt || !s.config.Resync || s.err != nil:
		p.giveUp()
	default:
		s.begun = false
		return p.push(ctx, item{line: line{verb: complete}})
	}
	return nil
}

// state states an item of source.pending, the first that is not stated.
func (p *pump) state(ctx context.Context, it *item) error {
	if p.stated == p.flushed && p.timer != nil {
		p.timer.Reset(flushAfter)
	}
	p.stated++
	switch it.verb {
	case begin:
		return p.sink.BeginResync(ctx, it.links)
	case complete:
		return p.sink.EndResync(ctx)
	}
	age := p.sink.Now().UnixMilli() - it.unix
	switch c := it.change.GetChange().(type) {
	case *ingestv1.Change_Upsert:
		c.Upsert.AgeMs, c.Upsert.Stamp = age, uint32(it.unix/1000)
	case *ingestv1.Change_End:
		c.End.AgeMs = age
	}
	return p.sink.Change(ctx, it.change)
}

// flush sends what was stated, and keeps the receipt.
func (p *pump) flush(ctx context.Context) error {
	p.timer.Stop()
	acknowledged, err := p.sink.Receipt(ctx)
	if err != nil {
		return err
	}
	p.receipts = append(p.receipts, receipt{acknowledged, p.stated - p.flushed})
	p.flushed = p.stated
	return nil
}

// acknowledge forgets what the oldest receipt is for.
func (p *pump) acknowledge() {
	s, n := p.source, p.receipts[0].items
	p.receipts = p.receipts[1:]
	last := 0
	for _, it := range s.pending[:n] {
		last = max(last, it.number)
		switch it.verb {
		case begin:
			s.open = it.nth > s.void
		case complete:
			s.open = false
		}
	}
	clear(s.pending[:n])
	s.pending = s.pending[n:]
	p.stated -= n
	p.flushed -= n
	if last > 0 && s.config.Acknowledged != nil {
		s.config.Acknowledged(last)
	}
}
