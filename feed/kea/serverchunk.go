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
		p.doubt(w, c.doubt)
		return nil
	case c.events:
		return p.events(ctx, c)
	}
	return p.looks(ctx, w, c)
}

// begin begins a full statement; one that is under way is void then. When it was another way's, that way begins again: it had a reason.
func (p *pump) begin(ctx context.Context, w *wayRun, b *beginning) error {
	if p.open == w {
		p.open = nil
		p.recent.over()
	}
	if !b.partial {
		if p.open != nil {
			p.open.want()
		}
		p.recent.begin()
		p.open, p.looked, p.vague = w, p.recent.now, false
		if err := p.sink.BeginResync(ctx, b.linked); err != nil {
			return err
		}
	}
	return p.writer.links(ctx, b.links)
}

// end ends the full statement of a way, if it is still the one that counts.
func (p *pump) end(ctx context.Context, w *wayRun) error {
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
	switch {
	case p.vague:
		w.want()
	case w.file && p.doubtful != "":
		p.askPages(w, p.doubtful) // what the file lacks was swept now
	}
	p.ledger.add(func(t *ServerTotals) { t.Resyncs++ })
	return p.sink.EndResync(ctx)
}

// doubt has another way make a full statement: now, and after each of this way, until the run ends.
func (p *pump) doubt(w *wayRun, why string) {
	p.ledger.add(func(t *ServerTotals) { t.Gaps++ })
	p.doubtful = why
	if !p.askPages(w, why) {
		p.log.Error("The lease file does not tell everything, and Kea cannot be asked: leases may be missing until they are renewed", "reason", why)
	}
}

// askPages has a way other than this one make a full statement; false: there is none.
func (p *pump) askPages(w *wayRun, why string) bool {
	for _, other := range p.ways {
		if other != w {
			p.log.Warn("The lease file does not tell everything: Kea is asked", "reason", why)
			other.want()
			return true
		}
	}
	return false
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
