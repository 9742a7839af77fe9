package store

import "github.com/leasehold/leasehold/fsm/binding"

// Changes walks over the clients with a change behind a given one, in the one order of answers: link, then client. It is what
// catching up (RFC 7653 8.4) and bulk with times read. A client comes whole, its ends included, also one that has nothing but
// ends left. Pages in which nothing changed are passed over.
//
// The order is not that of the changes: until a walk has come to its end, a reader that wants to go on from where it was
// interrupted has to begin again behind the change that the walk began behind.
type Changes struct {
	cursor Cursor
	after  uint64
	newest uint64
	begun  bool
}

// Changes begins a walk over all that changed behind the change with the number after; 0 is before all. Numbers grow in the
// order of the log; ChangeAt gives the one to begin at for a time.
func (v *View) Changes(after uint64) *Changes {
	return &Changes{cursor: Cursor{st: v.state}, after: after}
}

// ChangeAt is a number behind which lie all changes made at the closed time t or later, and none made before.
func ChangeAt(t binding.Time) uint64 {
	return binding.ChangesFrom(t)
}

// Newest is the number of the newest change of the client that Next filled in last.
func (c *Changes) Newest() uint64 { return c.newest }

// Next fills out with the next client; false at the end.
func (c *Changes) Next(out *binding.Client) bool {
	p := &c.cursor.path
	st := c.cursor.st
	if !c.begun {
		c.begun = true
		if !p.seek(st.clients.root, st.clients.height, &key{}) {
			return false
		}
	}
	for p.page != nil {
		if p.page.newest() <= c.after && !p.nextChanged(c.after) || !p.settle() {
			return false
		}
		if p.page.newest() <= c.after {
			continue
		}
		if _, newest := p.record().bounds(0); newest <= c.after {
			p.i++
			if !p.settle() {
				return false
			}
			continue
		}
		lh, duid := p.place(), p.record().duid()
		p.seek(st.clients.root, st.clients.height, &key{place: lh, duid: duid}) // a client begins with its first record
		p.settle()
		c.newest = c.newestOf(lh, duid)
		c.cursor.fill(out)
		return true
	}
	return false
}

// newestOf is the newest change of the client that the walk is at.
func (c *Changes) newestOf(lh uint64, duid []byte) (newest uint64) {
	for p, ok := c.cursor.path, true; ok && p.isAt(p.i, lh, duid); ok = p.next() {
		_, m := p.record().bounds(0)
		newest = max(newest, m)
	}
	return newest
}

// nextChanged leads to the first record of the next page in which something may have changed behind after.
func (p *path) nextChanged(after uint64) bool {
	d := p.depth - 1
	for {
		n := p.nodes[d]
		for p.at[d]++; p.at[d] < n.n && n.newest[p.at[d]] <= after; p.at[d]++ {
		}
		switch {
		case p.at[d] < n.n && d == p.depth-1:
			p.page, p.i = n.pages[p.at[d]], 0
			return true
		case p.at[d] < n.n:
			d++
			p.nodes[d], p.at[d] = n.kids[p.at[d-1]], -1
		case d == 0:
			p.page = nil
			return false
		default:
			d--
		}
	}
}
