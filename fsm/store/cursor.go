package store

import (
	"net/netip"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Cursor walks over the clients that a query selects. It allocates nothing from client to client.
type Cursor struct {
	st      *state
	query   binding.Query
	address address
	path    path     // the record where the walk goes on
	ready   bool     // whether path leads anywhere yet
	pairs   pairPath // by index: the place being walked
	index   pairRoot
	thing   uint32
	place   uint64 // by index: the place that path is in
	inPlace bool
	link    int  // of query.Links: all before have been passed
	page    page // that taken counts for
	taken   int  // clients taken from page
	sum     uint32
}

var _ binding.Cursor = (*Cursor)(nil)

// Select begins a walk over the clients that the query selects. The query's slices must stay as they are until its end.
func (v *View) Select(q binding.Query) binding.Cursor { return v.Walk(q) }

// Walk is Select without the interface.
func (v *View) Walk(q binding.Query) *Cursor {
	c := new(Cursor)
	v.walk(c, q)
	return c
}

// Reselect is Select with a cursor that is no longer needed, so that a walk costs no memory.
func (v *View) Reselect(old binding.Cursor, q binding.Query) binding.Cursor {
	c, ours := old.(*Cursor)
	if !ours {
		return v.Walk(q)
	}
	v.walk(c, q)
	return c
}

// walk makes c the beginning of a walk.
func (v *View) walk(c *Cursor, q binding.Query) {
	*c = Cursor{st: v.state, query: q}
	switch q.By {
	case binding.ByAddress:
		c.address = addressOf(q.Key)
		c.by(v.addresses, c.address.hash(v.hash))
	case binding.ByClientID:
		c.by(v.duids, v.hash.of(q.Value))
	case binding.ByRelayID:
		c.by(v.relays, v.hash.of(q.Value))
	case binding.ByRemoteID:
		c.by(v.remotes, v.hash.of(q.Value))
	case binding.ByLinkAddress:
		if q.Links == nil {
			c.query.Links = []binding.LinkID{}
		}
	}
}

func (c *Cursor) by(index pairRoot, thing uint32) {
	c.index, c.thing = index, thing
	c.pairs.seek(index.root, index.height, pair{thing: thing})
}

// Next fills out with the next client and all of its entries on that link; false at the end.
func (c *Cursor) Next(out *binding.Client) bool {
	for {
		if c.index.root == nil {
			if !c.nextOnLinks() {
				return false
			}
		} else if !c.nextInIndex() {
			return false
		}
		if c.fill(out) {
			return true
		}
	}
}

// nextOnLinks leads to the next client on the query's links.
func (c *Cursor) nextOnLinks() bool {
	if !c.ready {
		c.ready = true
		if !c.path.seek(c.st.clients.root, c.st.clients.height, &key{}) {
			return false
		}
	}
	if !c.path.settle() {
		return false
	}
	if c.query.Links == nil {
		return true
	}
	for {
		id := placeLink(c.path.place())
		if !c.passTo(id) {
			return false
		}
		if c.query.Links[c.link] == id {
			return true
		}
		c.path.seek(c.st.clients.root, c.st.clients.height, &key{place: place(c.query.Links[c.link], 0)})
		if !c.path.settle() {
			return false
		}
	}
}

// passTo passes the query's links before id; false if none is left.
func (c *Cursor) passTo(id binding.LinkID) bool {
	links := c.query.Links
	if c.link < len(links) && links[c.link] < id {
		i, _ := slices.BinarySearch(links[c.link:], id)
		c.link += i
	}
	return c.link < len(links)
}

// nextInIndex leads to the next client at a place that the index has for the query.
func (c *Cursor) nextInIndex() bool {
	for {
		if c.inPlace && c.path.settle() && c.path.place() == c.place {
			return true
		}
		c.inPlace = false
		lh, ok := c.nextPlace()
		if !ok {
			return false
		}
		c.place, c.inPlace = lh, true
		c.goTo(lh)
	}
}

// nextPlace is the next place of the index, on the query's links.
func (c *Cursor) nextPlace() (uint64, bool) {
	for c.pairs.settle() && c.pairs.pair().thing == c.thing {
		q := c.pairs.pair()
		lh := q.place()
		if c.query.By == binding.ByClientID {
			lh = place(binding.LinkID(q.link), c.thing)
		}
		if c.ready && lh == c.place {
			c.pairs.i++
			continue
		}
		if c.query.Links != nil {
			id := placeLink(lh)
			if !c.passTo(id) {
				return 0, false
			}
			if want := c.query.Links[c.link]; want != id {
				c.pairs.seek(c.index.root, c.index.height, pair{thing: c.thing, link: uint32(want)})
				continue
			}
		}
		c.pairs.i++
		return lh, true
	}
	return 0, false
}

// goTo leads to the first record at a place that is not before the present one.
func (c *Cursor) goTo(lh uint64) {
	p := &c.path
	if c.ready && p.page != nil {
		if p.i < p.page.count() && p.place() == lh {
			return
		}
		d := p.depth - 1
		n := p.nodes[d]
		if i := p.at[d]; i+1 < n.n && lh < n.place[i+1] {
			p.i = p.page.lowerPlace(lh)
			return
		}
		if lh < n.place[n.n-1] {
			p.at[d] = n.find(&key{place: lh})
			p.page = n.pages[p.at[d]]
			p.i = p.page.lowerPlace(lh)
			return
		}
	}
	c.ready = true
	p.seek(c.st.clients.root, c.st.clients.height, &key{place: lh})
}

// fill takes the client at path apart, moves on behind it, and tells whether the client matches the query.
func (c *Cursor) fill(out *binding.Client) (matched bool) {
	p := &c.path
	if len(c.page) == 0 || &p.page[0] != &c.page[0] {
		if c.index.root == nil || c.taken >= dense {
			c.sum += p.touchNext()
		}
		c.page, c.taken = p.page, 0
	}
	c.taken++
	matched = c.take(out)
	return matched && (c.query.By != binding.ByClientID || string(out.DUID) == string(c.query.Value))
}

// take takes the client at path apart, moves on behind it, and tells whether one of its entries matches the query.
func (c *Cursor) take(out *binding.Client) (matched bool) {
	p := &c.path
	lh, r := p.place(), p.record()
	duid := r.duid()
	out.Link, out.DUID, out.Entries = placeLink(lh), duid, out.Entries[:0]
	for {
		if c.unpack(r, out) {
			matched = true
		}
		if p.i++; !p.settle() || p.place() != lh {
			break
		}
		if r = p.record(); !r.isOf(duid) {
			break
		}
	}
	return matched
}

// dense is how many clients a walk by index has to take from a page for the next page to be worth fetching early.
const dense = 4

// unpack appends the entries of one record and tells whether one that is in force, or ended if the query wants that, matches it.
func (c *Cursor) unpack(r record, out *binding.Client) (matched bool) {
	b := r.first()
	var chain []byte
	var last uint8
	for range r.entries() {
		p := packed(b)
		b = b[p.size():]
		if n := p[2]; n != last {
			chain, last = r.text(n), n
		}
		out.Entries = append(out.Entries, binding.Entry{})
		e := &out.Entries[len(out.Entries)-1]
		e.Kind, e.State, e.IAID, e.Preferred, e.Valid = p.kind(), p.state(), p.iaid(), p.preferred(), p.valid()
		e.Prefix = netip.PrefixFrom(netip.AddrFrom16(p.octets()), int(p.bits()))
		e.LastTransaction, e.Change, e.Changed, e.Source = p.lt(), p.mark(), markTime(p.mark()), p.source()
		e.Chain = chain
		if n := p[4]; n != 0 {
			e.Options = r.text(n)
		}
		if !matched && (c.query.Ended || e.State == binding.Active) {
			matched = c.matches(p, e)
		}
	}
	return matched
}

// matches tells whether an entry is one that the query asks for.
func (c *Cursor) matches(p packed, e *binding.Entry) bool {
	switch c.query.By {
	case binding.ByAddress:
		return p.holds(&c.address)
	case binding.ByRelayID:
		return e.Chain.HasRelayID(c.query.Value)
	case binding.ByRemoteID:
		return e.Chain.HasRemoteID(c.query.Value)
	}
	return true
}
