package store

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

var _ binding.History = (*View)(nil)

// LinksChanged grows whenever a query's link-address may select other links than before. It counts on this node alone, but goes on
// when a snapshot has taken the store's place.
func (v *View) LinksChanged() uint64 { return v.linksChanged }

// At fills out with the client, ends included, that has an entry with exactly the change m. It allocates nothing but what out
// has too little room for.
func (v *View) At(m binding.Mark, out *binding.Client) bool {
	c := Cursor{st: v.state}
	p := &c.path
	if !p.seek(v.clients.root, v.clients.height, &key{place: m.Place}) {
		return false
	}
	for p.settle() && p.place() == m.Place {
		first := *p
		duid := p.record().duid()
		has := false
		for ok := true; ok && p.isAt(p.i, m.Place, duid); ok = p.next() {
			has = has || p.record().has(m.Change)
		}
		if has {
			c.path = first
			c.take(out)
			return true
		}
	}
	return false
}

// has tells whether an entry of the record was changed last by the change.
func (r record) has(change uint64) bool {
	for e := range r.all {
		if e.mark() == change {
			return true
		}
	}
	return false
}

// Oldest appends to dst, up to its capacity, marks behind the number after: that of every end that is kept, and the newest of every
// client; the oldest of all these, in order. None appended means that there is none.
//
// There is no index in the order of changes, so it walks over every page in which something changed behind after, whatever the
// capacity: a reader that catches up from far should ask for many thousands at once.
func (v *View) Oldest(after uint64, dst []binding.Mark) []binding.Mark {
	from := len(dst)
	o := oldest{after: after, marks: dst[from:from:cap(dst)]}
	if cap(o.marks) == 0 {
		return dst
	}
	var p path
	for ok := p.seek(v.clients.root, v.clients.height, &key{}); ok; {
		if p.page.newest() <= after {
			ok = p.nextChanged(after)
			continue
		}
		o.sum += p.touchNext()
		for i := range p.page.count() {
			o.look(p.page.place(i), p.page.record(i))
		}
		ok = p.nextPage()
	}
	o.client()
	slices.SortFunc(o.marks, func(x, y binding.Mark) int { return cmp.Compare(x.Change, y.Change) })
	return dst[:from+len(o.marks)]
}

// oldest gathers the oldest marks. When they are as many as there is room for they are a heap, the newest on top.
type oldest struct {
	after uint64
	marks []binding.Mark
	place uint64 // of the client that was looked at last
	duid  []byte
	live  uint64 // the newest mark of its bindings in force
	ended uint64 // the newest of its ends
	sum   uint32 // of touchNext
}

// look takes a record's marks. A client's records come one behind the other.
func (o *oldest) look(lh uint64, r record) {
	if duid := r.duid(); lh != o.place || !bytes.Equal(duid, o.duid) {
		o.client()
		o.place, o.duid = lh, duid
	}
	for e := range r.all {
		m := e.mark()
		if e.state() == binding.Active {
			o.live = max(o.live, m)
			continue
		}
		o.ended = max(o.ended, m)
		o.add(m)
	}
}

// client takes the newest mark of the client whose records have all been looked at.
func (o *oldest) client() {
	if o.live > o.ended {
		o.add(o.live)
	}
	o.live, o.ended = 0, 0
}

// add takes a mark of the present client, if it is one of the oldest behind after.
func (o *oldest) add(change uint64) {
	if change <= o.after {
		return
	}
	m := binding.Mark{Change: change, Place: o.place}
	switch n := len(o.marks); {
	case n < cap(o.marks):
		o.marks = append(o.marks, m)
		if n+1 == cap(o.marks) {
			for i := n / 2; i >= 0; i-- {
				o.sink(i)
			}
		}
	case change < o.marks[0].Change:
		o.marks[0] = m
		o.sink(0)
	}
}

// sink moves the i-th mark down to where none newer is below it.
func (o *oldest) sink(i int) {
	for {
		top := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(o.marks); child++ {
			if o.marks[child].Change > o.marks[top].Change {
				top = child
			}
		}
		if top == i {
			return
		}
		o.marks[i], o.marks[top] = o.marks[top], o.marks[i]
		i = top
	}
}
