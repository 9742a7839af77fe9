package kea

import (
	"context"
)

// chunk takes what a way says.
func (p *pump) chunk(ctx context.Context, w *wayRun, c chunk) error {
	p.recent.advance(p.config.now())
	switch {
	case c.begin != nil:
		return p.begin(ctx, w, c.begin)
	case c.end:
		return p.end(ctx, w)
	case c.doubt != "":
		p.doubt(c.doubt)
		return nil
	case c.events:
		return p.events(ctx, c)
	}
	return p.looks(ctx, w, c)
}

// pages is the way by Kea's memory; nil: Kea cannot be asked.
func (p *pump) pages() *wayRun {
	if n := len(p.ways); n > 0 && !p.ways[n-1].file {
		return p.ways[n-1]
	}
	return nil
}

// begin begins a full statement; one of the way that is under way is void then. The lease file makes none where Kea can be asked: a
// file may lack leases that Kea has (after a kill -9 of Kea in the middle of a compaction, for one), and must not sweep them.
func (p *pump) begin(ctx context.Context, w *wayRun, b *beginning) error {
	if p.open == w {
		p.open = nil
		p.recent.over()
	}
	if !b.partial && (!w.file || p.pages() == nil) {
		p.recent.begin()
		p.open, p.looked, p.vague = w, p.recent.now, false
		if err := p.sink.BeginResync(ctx, b.linked); err != nil {
			return err
		}
	}
	return p.writer.links(ctx, b.links)
}

// end ends the full statement of a way. When the lease file has told what it has, Kea is asked.
func (p *pump) end(ctx context.Context, w *wayRun) error {
	if pages := p.pages(); w.file && pages != nil {
		pages.want()
		return p.sink.Flush(ctx)
	}
	if p.open != w {
		return nil
	}
	err := p.recent.unstated(p.looked, w.file, func(r *row, ask bool) error {
		if ask {
			p.ask(question{prefix: r.prefix, kind: r.kind, due: p.config.now().Add(lagAsk)})
		}
		return p.writer.state(ctx, r, p.recent.now)
	})
	if err != nil {
		return err
	}
	p.open = nil
	p.recent.over()
	if p.vague {
		w.want()
	}
	p.ledger.add(func(t *ServerTotals) { t.Resyncs++ })
	return p.sink.EndResync(ctx)
}

// doubt has Kea asked for everything: the lease file does not tell it.
func (p *pump) doubt(why string) {
	p.ledger.add(func(t *ServerTotals) { t.Gaps++ })
	pages := p.pages()
	if pages == nil {
		p.log.Error("The lease file does not tell everything, and Kea cannot be asked: leases may be missing until they are renewed", "reason", why)
		return
	}
	p.log.Warn("The lease file does not tell everything: Kea is asked", "reason", why)
	pages.want()
}

// events states lines of the lease file.
func (p *pump) events(ctx context.Context, c chunk) error {
	for i := range c.rows {
		r := &c.rows[i]
		if !p.recent.event(r).take {
			p.ledger.add(func(t *ServerTotals) { t.LeftOut++ })
			continue
		}
		if err := p.writer.state(ctx, r, p.recent.now); err != nil {
			return err
		}
	}
	return p.sink.Flush(ctx)
}

// looks states what was seen when Kea was looked at.
func (p *pump) looks(ctx context.Context, w *wayRun, c chunk) error {
	if p.open == w && c.asked.Before(p.looked) {
		p.looked = c.asked
	}
	for i := range c.rows {
		v := p.recent.look(&c.rows[i], c.asked, w.file)
		p.vague = p.vague || (v.vague && !w.file)
		r := v.again
		switch {
		case v.take:
			r = &c.rows[i]
		default:
			p.ledger.add(func(t *ServerTotals) { t.LeftOut++ })
		}
		if r == nil || (p.open == w && p.writer.over(r)) {
			continue // what has run out is swept
		}
		if err := p.writer.state(ctx, r, c.asked); err != nil {
			return err
		}
	}
	if !p.armed {
		p.armed = true
		p.flush.Reset(flushAfter)
	}
	return nil
}

// answered states what Kea said of a lease.
func (p *pump) answered(ctx context.Context, a finding) error {
	p.recent.advance(p.config.now())
	if a.lost {
		p.miss()
		return nil
	}
	if !p.recent.answer(a.prefix.Addr(), a.row, a.asked).take {
		return nil
	}
	r := a.row
	if r == nil {
		r = &row{prefix: a.prefix, kind: a.kind}
	}
	if err := p.writer.state(ctx, r, a.asked); err != nil {
		return err
	}
	return p.sink.Flush(ctx)
}
