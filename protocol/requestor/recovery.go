package requestor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// maxEarly is how often a bulk answer may be too old before that is worth a word.
const maxEarly = 10

var (
	// errOutdated ends a recovery in whose course more data went missing.
	errOutdated = errors.New("more data is missing")
	// errEarly ends a bulk query whose answer may be older than what is missing.
	errEarly = errors.New("bulk answer is not newer than the missing data")
)

// recoverAll recovers missing data, again and again until that has succeeded or ctx ends.
func (s *subscription) recoverAll(ctx context.Context) {
	w := s.watcher
	pauses := w.pauses()
	for early := 0; ; {
		w.mu.Lock()
		r := &recovery{subscription: s, gap: w.gap, since: w.since}
		w.mu.Unlock()
		err := r.run(ctx)
		switch _, ours := errors.AsType[*sinkError](err); {
		case ours:
			s.sunk = err // the subscription may have ended meanwhile, for another reason
			s.cancel(err)
			return
		case err == nil || ctx.Err() != nil:
			return
		case errors.Is(err, errOutdated):
			continue
		}
		wait, _ := pauses.next()
		if early++; errors.Is(err, errEarly) && early < maxEarly { // the server's time will have gone on
			wait, pauses = w.config.MinBackoff, w.pauses()
		} else {
			s.report(fmt.Errorf("recover missing data: %w", err))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// report tells of a recovery that has failed and is tried again.
func (s *subscription) report(err error) {
	w := s.watcher
	w.mu.Lock()
	defer w.mu.Unlock()
	w.config.Report(Attempt{Server: s.target.name, Err: err})
}

// recovery is one try to ask for everything that the subscription is about (RFC 7653 8.4.1). RFC 7653 proposes a bulk query from start
// to end time; that cannot bring the ends of bindings which the server's history lost, so this one has no times, and sweeps.
type recovery struct {
	subscription *subscription
	gap          uint32 // which
	since        uint32 // its base time
	conn         *Conn
	base         uint32 // of the newest answer
	asking       int    // which of ActiveQuery.Recover, counted from 1; 0: none
	unread       unread
}

func (r *recovery) run(ctx context.Context) error {
	defer r.hangUp()
	w := r.subscription.watcher
	r.base = r.since
	for i, q := range w.query.recovery() {
		r.asking = min(i+1, len(w.query.Recover))
		if err := r.ask(ctx, q, w.query.Strict); err != nil {
			return err
		}
	}
	r.asking = 0
	if w.query.everything() {
		if err := r.lookUp(ctx); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gap != r.gap {
		return errOutdated
	}
	return r.close(ctx)
}

// close tells what has ended, and that everything is told. The caller holds the watcher's mu.
func (r *recovery) close(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s, w := r.subscription, r.subscription.watcher
	if err := r.tellEnded(w.table.closeGap(r.unread.has)); err != nil {
		return err
	}
	s.recovering, w.missing = false, false
	w.advance(w.from.seconds)
	return w.tell(&Event{
		Kind: EventCatchUpComplete, Server: s.target.name, HasBaseTime: true, BaseTime: w.from.seconds, Recovered: true,
		Partial: w.query.everything() && len(w.query.Recover) == 0,
	})
}

// hangUp closes the connection, if there is one.
func (r *recovery) hangUp() {
	if r.conn != nil {
		// Its answers are complete, or it has failed.
		_ = r.conn.Close()
		r.conn = nil
	}
}

// ask asks one bulk query and takes its answer. That the server does not know the link, or an address, is an answer unless strict: nobody
// is there.
func (r *recovery) ask(ctx context.Context, q Query, strict bool) error {
	if r.conn == nil {
		config := r.subscription.watcher.config
		config.asked = r.subscription.target.asked
		conn, err := connect(ctx, r.subscription.target.address, config, func() {})
		if err != nil {
			return err
		}
		r.conn = conn
	}
	x, err := r.conn.ask(ctx, q)
	if err != nil {
		return err
	}
	err = x.run(ctx, func(_ []byte, c *Client) error { return r.take(c) })
	if s, ok := errors.AsType[*StatusError](err); ok && s.Status == dhcpv6.StatusNotConfigured && !s.Partial && !strict {
		r.hangUp() // a server may close behind a refusal
		err = nil
	}
	if err != nil {
		return err
	}
	if r.subscription.watcher.config.Tolerant {
		r.hangUp() // what such a server may say behind the end is not taken for the next answer
	}
	return r.check(x.base)
}

// check refuses answers that may be of a time before the data went missing: of a virtual address that has moved, for one.
func (r *recovery) check(base baseTime) error {
	if !base.known { // no server of RFC 7653
		return nil
	}
	if !base.after(r.since) {
		return errEarly
	}
	r.base = base.seconds
	return nil
}

// take tells of one client of an answer what is not known yet.
func (r *recovery) take(c *Client) error {
	if err := r.check(baseTime{c.BaseTime, c.HasBaseTime}); err != nil {
		return err
	}
	if len(c.DUID) > maxDUID {
		return fmt.Errorf("%w: a client with a DUID of %d octets", ErrProtocol, len(c.DUID))
	}
	if c.Unreadable {
		r.unread.add(c.DUID)
	}
	s, w := r.subscription, r.subscription.watcher
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gap != r.gap {
		return errOutdated
	}
	if w.query.Found != nil && !c.Unreadable {
		if err := w.query.Found(r.asking, c); err != nil {
			return &sinkError{err}
		}
	}
	lost, changed, err := w.table.merge(c)
	if err != nil {
		return &sinkError{err}
	}
	if err := r.tellEnded(lost); err != nil || !changed && c.Flaw == nil {
		return err
	}
	return w.tell(&Event{
		Kind: EventChange, Server: s.target.name, Client: c, HasBaseTime: c.HasBaseTime, BaseTime: c.BaseTime, Recovered: true,
		FoundBy: r.asking,
	})
}

// endsAtOnce bounds how many ended bindings one event tells of.
const endsAtOnce = 1000

// tellEnded tells that bindings have ended; those of one client stand together. The caller holds the watcher's mu.
func (r *recovery) tellEnded(all []ended) error {
	s := r.subscription
	for len(all) > 0 {
		n := slices.IndexFunc(all, func(e ended) bool { return e.word.duid != all[0].word.duid })
		if n < 0 {
			n = len(all)
		}
		n = min(n, endsAtOnce)
		e := &Event{
			Kind: EventChange, Server: s.target.name, Client: endedClient(all[:n], r.base), HasBaseTime: true, BaseTime: r.base, Recovered: true,
		}
		if err := s.watcher.tell(e); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// lookUp asks for each known binding of which nothing was said yet: first for everybody on its link, unless its neighbours have been asked
// for already, then for itself. A subscription to everything ends nothing that was not looked up.
func (r *recovery) lookUp(ctx context.Context) error {
	w := r.subscription.watcher
	asked := map[netip.Prefix]bool{}
	for p, duid := range w.table.unsaid() {
		if near := netip.PrefixFrom(netip.AddrFrom16(p.address), 64).Masked(); !p.delegated && !asked[near] && !w.table.said(p) {
			asked[near] = true
			if err := r.askKnown(ctx, Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: netip.AddrFrom16(p.address)}); err != nil {
				return err
			}
		}
		if w.table.said(p) {
			continue
		}
		if err := r.askKnown(ctx, Query{Type: dhcpv6.QueryByAddress, Address: netip.AddrFrom16(p.address)}); err != nil {
			return err
		}
		if !p.delegated || w.table.said(p) {
			continue
		}
		// An address, or another prefix, that begins where this one does may have been told in its place.
		if err := r.askKnown(ctx, Query{Type: dhcpv6.QueryByClientID, ClientID: []byte(duid)}); err != nil {
			return err
		}
	}
	return nil
}

// askKnown asks for something that is known, with the options that the subscription has.
func (r *recovery) askKnown(ctx context.Context, q Query) error {
	w := r.subscription.watcher
	q.BaseTime, q.RelayData, q.Options = true, w.query.RelayData, w.query.Options
	return r.ask(ctx, q, false)
}
