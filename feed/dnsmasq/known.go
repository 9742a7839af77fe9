package dnsmasq

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// hint is an event that the lease file does not confirm yet.
type hint struct {
	event    event
	received time.Time
}

// over is a lease that the file lacks since a time. If it comes back as it was, it was never away, or the client did not go far.
type over struct {
	lease   lease
	noticed time.Time
}

// patience is how long a hint waits for the file, and how long what is over is remembered. dnsmasq tries again after a minute when it
// could not write its file.
const patience = 90 * time.Second

// known is what is known of dnsmasq's leases: what was read last, and what events have told.
type known struct {
	held   map[netip.Addr]lease
	hints  map[netip.Addr]hint
	over   map[netip.Addr]over // what ended not long ago
	lacked map[netip.Addr]bool // what the file that was believed last lacked, if it was not surely whole
	memory *memory             // nil: none
	read   bool                // the lease file was
	failed func(error)         // is told when the memory fails, and nil when it works
}

func newKnown(failed func(error)) *known {
	return &known{held: map[netip.Addr]lease{}, hints: map[netip.Addr]hint{}, over: map[netip.Addr]over{}, failed: failed}
}

// hear takes an event. What it tells of a lease that the file has already is true at once: changed is that lease. Anything else is
// remembered until the file has it.
func (k *known) hear(e event, received time.Time) (changed *lease) {
	a := e.lease.address
	h, ok := k.held[a]
	switch {
	case e.gone:
		if g, ok := k.hints[a]; ok && g.event.lease.sameClient(&e.lease) {
			delete(k.hints, a)
		}
		return nil
	case ok && h.sameClient(&e.lease) && h.expires == e.lease.expires:
		n := h
		n.learn(e)
		if n == h {
			return nil
		}
		k.set(n)
		return &n
	}
	if g, ok := k.hints[a]; ok && g.event.lease.sameClient(&e.lease) && g.event.added && !e.added {
		e.added, e.lease.relay = true, g.event.lease.relay // of an add that the file has not confirmed either
	}
	k.hints[a] = hint{e, received}
	if e.added {
		k.note(e.granted(received))
	}
	return nil
}

// granted is the lease as the event tells of it.
func (e *event) granted(received time.Time) lease {
	l := e.lease
	at := received.Unix()
	if e.remaining > 0 && l.expires != 0 {
		at = l.expires - e.remaining
	}
	l.granted(at)
	return l
}

// learn takes what an event of the same client and expiry tells. What remains was so when the script was run, which is as late as the
// lease's grant or later: so of two lengths the longer one is nearer to the truth.
func (l *lease) learn(e event) {
	if e.added {
		l.relay, l.guessed = e.lease.relay, false
	}
	if l.expires != 0 && e.remaining > int64(l.valid) {
		l.granted(l.expires - e.remaining)
	}
}

// differences are what a lease file brings.
type differences struct {
	changed []lease
	ended   []lease
}

// believe takes what a lease file says that was read at a time and written last at another. What one lacks that is not surely whole
// is over only if the one before lacked it too.
func (k *known) believe(s *survey, whole bool, asked, written time.Time) differences {
	var d differences
	lacked := map[netip.Addr]bool{}
	maps.DeleteFunc(k.over, func(_ netip.Addr, o over) bool { return asked.Sub(o.noticed) > patience })
	for _, a := range slices.SortedFunc(maps.Keys(s.leases), netip.Addr.Compare) {
		h, held := k.held[a]
		n := k.merge(s.leases[a], h, held, asked, written)
		if !held || n != h {
			k.set(n)
			d.changed = append(d.changed, n)
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(k.held), netip.Addr.Compare) {
		if _, there := s.leases[a]; there || s.refused[a] {
			continue
		}
		if !whole && !k.lacked[a] {
			lacked[a] = true
			continue
		}
		d.ended = append(d.ended, k.held[a])
		k.over[a] = over{k.held[a], asked}
		delete(k.held, a)
		k.write(entry{Address: a, Gone: true})
	}
	maps.DeleteFunc(k.hints, func(_ netip.Addr, g hint) bool {
		return !g.event.lease.leased(written.Unix()) || asked.Sub(g.received) > patience
	})
	k.read, k.lacked = true, lacked
	return d
}

// merge is what is known of a lease that the file has, as n; h is what was known of its address.
func (k *known) merge(n, h lease, held bool, asked, written time.Time) lease {
	if o, ok := k.over[n.address]; !held && ok && o.lease.sameClient(&n) {
		if n.relay = o.lease.relay; n.expires != 0 && n.expires == o.lease.expires {
			h, held = o.lease, true
		}
	}
	switch {
	case !held || !h.sameClient(&n):
		n.granted(written.Unix())
		n.guessed = !k.read
	case h.expires == n.expires:
		n.transaction, n.valid, n.guessed, n.relay = h.transaction, h.valid, h.guessed, h.relay
	default:
		n.relay = h.relay
		n.granted(written.Unix())
		n.guessed = !k.read
		as := n.expires - int64(h.valid) // when it was given if it is as long as before
		off := n.transaction - as
		if !h.guessed && h.expires != 0 && n.expires != 0 && off >= 0 && (off <= 2 || !k.read) {
			n.granted(as)
			n.guessed = false
		}
	}
	g, ok := k.hints[n.address]
	switch {
	case !ok:
	case !g.event.lease.sameClient(&n):
		if g.received.Before(asked) {
			delete(k.hints, n.address) // the file knows of a later client
		}
	default:
		if g.event.lease.expires == n.expires {
			n.learn(g.event)
		} else if g.event.added {
			n.relay = g.event.lease.relay
		}
		delete(k.hints, n.address)
	}
	return n
}

// set makes a lease known.
func (k *known) set(l lease) {
	k.held[l.address] = l
	k.note(l)
}

func (k *known) note(l lease) { k.write(entryOf(&l)) }

// write writes to the memory, if there is one.
func (k *known) write(e entry) {
	if k.memory != nil {
		k.failed(k.memory.note(e, k.held))
	}
}
