package requestor

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
)

// A gap is from where a server says that data is missing until a bulk answer has told everything anew. In between three kinds of word are
// told apart: what was said before, of which nothing is known any more; what the subscription has said since; and what bulk answers, which
// are all newer than the gap, have said.

// openGap begins one: nothing that was said before counts as known.
func (r *Replica) openGap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gap++
	r.open = true
}

// said tells whether anything was said of a binding since the gap began.
func (r *Replica) said(p place) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.words[p].gap == r.gap
}

// unsaid is the bindings of which nothing was said since the gap began, in order, and whose they were.
func (r *Replica) unsaid() iter.Seq2[place, string] {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []ended
	for p, w := range r.words {
		if w.gap != r.gap && !w.ended {
			all = append(all, ended{p, w})
		}
	}
	slices.SortFunc(all, func(a, b ended) int { return comparePlaces(a.place, b.place) })
	return func(yield func(place, string) bool) {
		for _, e := range all {
			if !yield(e.place, e.word.duid) {
				return
			}
		}
	}
}

// merge takes a client of a bulk answer. What the subscription has said since the gap began stands, unless the bulk answer is newer than
// it and knows of a newer transaction: the newest CLT_TIME wins. Bindings whose word does not count are taken out of c. lost is whose the
// others were before, to be told first; changed tells whether c says anything that was not known.
func (r *Replica) merge(c *Client) (lost []ended, changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	base, about := r.baseOf(c), c.about(r.seed)
	counts := func(p place, w word) bool {
		old, known := r.words[p]
		if w.ended || err != nil || known && old.gap == r.gap && old.live && !overrules(c, w, old) {
			return false
		}
		if known && !old.ended && old.duid != w.duid {
			lost = append(lost, ended{p, old})
		}
		w.gap, w.about = r.gap, about
		changed = changed || !known || !w.repeats(old)
		err = r.put(p, w, known, old.duid)
		return err == nil
	}
	addresses, prefixes := c.Addresses[:0], c.Prefixes[:0]
	for _, a := range c.Addresses {
		if p, w := c.word(base, netip.PrefixFrom(a.Address, 128), false, a.Preferred, a.Valid); counts(p, w) {
			addresses = append(addresses, a)
		}
	}
	for _, d := range c.Prefixes {
		if p, w := c.word(base, d.Prefix, true, d.Preferred, d.Valid); counts(p, w) {
			prefixes = append(prefixes, d)
		}
	}
	c.Addresses, c.Prefixes = addresses, prefixes
	return lost, changed, err
}

// overrules tells whether a bulk answer is surely newer than what the subscription said. If it is not sure, the subscription's word
// stands: should the bulk answer be newer all the same, then the subscription is about to say so.
func overrules(c *Client, bulk, live word) bool {
	return c.HasBaseTime && int32(bulk.base-live.base) > 0 && bulk.last > live.last
}

// repeats tells whether w says nothing that old did not, but that time has passed.
func (w word) repeats(old word) bool {
	if w.preferred == 0 && old.preferred <= int64(w.base) {
		w.preferred = old.preferred
	}
	w.base, w.gap, w.live = old.base, old.gap, old.live
	return w == old
}

// ended is a binding that a client has no more, and what was last said of it.
type ended struct {
	place place
	word  word
}

// closeGap ends the gap after bulk answers that together have everything: it takes out, in the order of their clients, the bindings of
// which neither they nor the subscription said anything. What of these is spared stays known.
func (r *Replica) closeGap(spared func(duid string) bool) []ended {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []ended
	for p, w := range r.words {
		if !w.ended && w.gap == r.gap {
			continue
		}
		if !w.ended && spared(w.duid) {
			w.gap = r.gap
			r.words[p] = w
			continue
		}
		if !w.ended {
			out = append(out, ended{p, w})
		}
		delete(r.words, p)
	}
	r.open = false
	slices.SortFunc(out, func(a, b ended) int {
		return cmp.Or(cmp.Compare(a.word.duid, b.word.duid), comparePlaces(a.place, b.place))
	})
	return out
}

// endedClient is what tells, at base, that a client has these bindings no more; all are of one client.
func endedClient(all []ended, base uint32) *Client {
	c := &Client{DUID: []byte(all[0].word.duid), HasBaseTime: true, BaseTime: base}
	last := all[0].word.last
	for _, e := range all {
		last = max(last, e.word.last)
		if e.place.delegated {
			c.Prefixes = append(c.Prefixes, Prefix{Prefix: e.place.prefix()})
		} else {
			c.Addresses = append(c.Addresses, Address{Address: e.place.prefix().Addr()})
		}
	}
	c.LastTransaction = uint32(min(max(0, int64(base)-last), infinite))
	return c
}
