package kea

import (
	"net/netip"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Bounds of what recent remembers, and what it takes for late.
const (
	recentFor  = time.Minute
	recentMost = 1 << 16
	seenMost   = 16               // contents of one address and second that the file has told
	lateAfter  = 10 * time.Second // from the transaction to the push: Kea has kept it back, and what it says may be over
	steppedBy  = 20               // seconds by which a push is older than the one before: no reordering, but Kea's clock was set back
	tieWithin  = time.Second      // between pushes of which nobody can tell the order
	lagging    = 15 * time.Second // that a Kea may lack what its HA partner has just given
)

// recent is the arbiter among the ways by which the same lease arrives: pushes, the lines of the lease file, and what was seen when
// Kea was looked at. It remembers, for each address that was pushed or whose line was read, what was said last, for a while.
//
//	push    newer takes effect, older is left out; equal seconds: the later arrival, and Kea is asked which it is
//	event   takes effect in the file's order, as soon as the file has got to what was pushed
//	look    newer takes effect, older is left out; equal seconds and not the same: if Kea was asked after the push had arrived,
//	        because Kea writes before it sends
//
// It is used by one goroutine.
type recent struct {
	followed bool // the lease file is followed: it settles what pushes leave open
	asking   bool // Kea can be asked for a lease: it settles that too

	now       time.Time // as of which it forgets
	known     map[netip.Addr]*saying
	order     []visit   // of when sayings were touched, oldest first
	forgotten time.Time // the newest arrival that was forgotten
	statement uint64    // the full statement that is open, or was last
	hold      time.Time // what was touched since is not forgotten: a full statement is open; zero: none is
}

// saying is what is known of an address.
type saying struct {
	row       row // the last that took effect; without what only a lease in force has when it is an end
	live      bool
	content   uint64
	cltt      int64
	arrived   time.Time // when; of a look: when Kea was asked
	conn      uint64    // by which connection it was pushed; 0: another way
	mixed     bool      // with this cltt, other connections or ways have told of it too
	ahead     bool      // it did not come from the lease file, which has not got so far yet
	told      bool      // it came from the lease file
	statement uint64    // in which it was stated last
	seen      []uint64  // contents with this cltt that the file has told
	touched   time.Time
}

type visit struct {
	address netip.Addr
	touched time.Time
}

func newRecent(followed, asking bool) *recent {
	return &recent{followed: followed, asking: asking, known: map[netip.Addr]*saying{}}
}

// ruling is what becomes of a row.
type ruling struct {
	take  bool
	ask   bool // Kea is to be asked what is so
	again *row // what has to be stated instead, because the statement under way has not had it
	vague bool // it may be older than what was forgotten meanwhile
}

// push rules on a pushed row; late is whether it came so long after its transaction that it may be over.
func (c *recent) push(r *row, arrived time.Time, conn uint64, late bool) ruling {
	s := c.known[r.prefix.Addr()]
	v := ruling{take: true}
	switch {
	case s == nil:
		v.ask = late && c.asking
		v.take = !late || !c.followed
	default:
		v = c.pushOver(s, r, arrived, conn)
	}
	if v.take {
		c.enter(r, arrived, conn, false)
	}
	return v
}

func (c *recent) pushOver(s *saying, r *row, arrived time.Time, conn uint64) ruling {
	cltt, content := r.transaction(), contentOf(r)
	settled := !c.followed && c.asking // what is open is to be asked for
	switch {
	case cltt > s.cltt:
		return ruling{take: true}
	case cltt < s.cltt:
		return ruling{take: !c.followed && !c.asking && s.cltt-cltt > steppedBy, ask: settled}
	case content == s.content:
		return ruling{take: true, ask: settled && s.mixed} // what was asked for does not count any more
	case c.followed:
		for _, told := range s.seen {
			if told == content {
				return ruling{} // the file is past it
			}
		}
		return ruling{take: true}
	case s.conn == conn && !s.mixed:
		return ruling{take: true}
	case settled:
		return ruling{take: true, ask: true}
	case arrived.Sub(s.arrived) > tieWithin:
		return ruling{take: true}
	}
	return ruling{take: !r.leased() || s.live} // the end wins
}

// event rules on a line of the lease file that has just been read.
func (c *recent) event(r *row) ruling {
	s := c.known[r.prefix.Addr()]
	if s != nil && s.ahead && r.transaction() < s.cltt {
		return ruling{}
	}
	s = c.enter(r, c.now, 0, true)
	if len(s.seen) < seenMost {
		s.seen = append(s.seen, s.content)
	}
	return ruling{take: true}
}

// look rules on a row that was seen when the lease file was surveyed (file) or Kea was asked for a page.
func (c *recent) look(r *row, asked time.Time, file bool) ruling {
	s := c.known[r.prefix.Addr()]
	if s == nil {
		return ruling{take: true, vague: !asked.After(c.forgotten)}
	}
	cltt := r.transaction()
	switch {
	case file && s.told:
	case cltt > s.cltt:
	case cltt == s.cltt && (contentOf(r) == s.content || asked.After(s.arrived)):
	default:
		return ruling{again: c.restated(s)}
	}
	if s.arrived.After(asked) {
		asked = s.arrived // what was pushed then still counts
	}
	c.enter(r, asked, 0, file)
	return ruling{take: true}
}

// answer rules on what Kea said when it was asked for an address; r is nil when it has no lease of it.
func (c *recent) answer(a netip.Addr, r *row, asked time.Time) ruling {
	s := c.known[a]
	switch {
	case s != nil && !asked.After(s.arrived):
		return ruling{} // something came meanwhile
	case r != nil:
		c.enter(r, asked, 0, false)
	case s != nil:
		s.row, s.live, s.content, s.arrived, s.conn = row{prefix: s.row.prefix, kind: s.row.kind, expire: s.cltt}, false, contentEnded, asked, 0
		s.statement = c.statement
	}
	return ruling{take: true}
}

// restated is what a row that is left out leaves to be stated; nil: nothing.
func (c *recent) restated(s *saying) *row {
	if !s.live || s.statement == c.statement {
		return nil
	}
	s.statement = c.statement
	return &s.row
}

// enter makes a row what is known of its address.
func (c *recent) enter(r *row, arrived time.Time, conn uint64, told bool) *saying {
	a := r.prefix.Addr()
	s := c.known[a]
	if s == nil {
		s = new(saying)
		c.known[a] = s
	}
	if cltt := r.transaction(); cltt != s.cltt || s.touched.IsZero() {
		s.cltt, s.seen, s.mixed = cltt, s.seen[:0], false
	} else if s.conn != conn {
		s.mixed = true
	}
	s.content, s.live, s.arrived, s.conn, s.statement = contentOf(r), r.leased(), arrived, conn, c.statement
	s.row = row{prefix: r.prefix, kind: r.kind, expire: s.cltt}
	if s.live {
		s.row = *r
	}
	s.ahead, s.told = c.followed && !told, told
	if !s.touched.Equal(c.now) {
		s.touched = c.now
		c.order = append(c.order, visit{a, c.now})
	}
	return s
}

// advance sets the time, and forgets what is older than a while, and what is too much.
func (c *recent) advance(now time.Time) {
	c.now = now
	n := 0
	for _, v := range c.order {
		s := c.known[v.address]
		if s != nil && s.touched.Equal(v.touched) {
			young := now.Sub(v.touched) < recentFor || (!c.hold.IsZero() && !v.touched.Before(c.hold))
			if young && len(c.known) <= recentMost {
				break
			}
			delete(c.known, v.address)
			if s.arrived.After(c.forgotten) {
				c.forgotten = s.arrived
			}
		}
		n++
	}
	c.order = c.order[n:]
}

// begin notes that a full statement begins. However long it takes, what it may lack is remembered until it is over.
func (c *recent) begin() {
	c.statement++
	c.hold = c.now.Add(-lagging)
}

// over notes that no full statement is open.
func (c *recent) over() { c.hold = time.Time{} }

// unstated gives each lease that the statement did not have although it may be there: what was pushed after Kea was first looked at;
// with pages, also what was pushed shortly before, because a Kea may get a lease from its HA partner after we do: ask tells that it
// has to be asked for them.
func (c *recent) unstated(looked time.Time, file bool, f func(r *row, ask bool) error) error {
	since := looked
	if !file {
		since = looked.Add(-lagging)
	}
	for _, s := range c.known {
		if !s.live || s.statement == c.statement || s.arrived.Before(since) || (s.told && file) {
			continue
		}
		s.statement = c.statement
		if err := f(&s.row, !file); err != nil {
			return err
		}
	}
	return nil
}

// current tells whether a row is still what is known of its address.
func (c *recent) current(r *row) bool {
	s := c.known[r.prefix.Addr()]
	return s == nil || (s.cltt == r.transaction() && s.content == contentOf(r))
}

// contentEnded is the content of what is not a lease in force, whatever ended it.
const contentEnded = 1

// contentOf is the same for rows that say the same.
func contentOf(r *row) uint64 {
	if !r.leased() {
		return contentEnded
	}
	b := make([]byte, 0, 256)
	b = append(b, r.duid...)
	b = append(b, 0, byte(r.kind), byte(r.prefix.Bits()))
	for _, n := range [...]uint32{r.iaid, r.valid, r.preferred, uint32(len(r.duid)), uint32(len(r.relays))} {
		b = append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	b = append(append(append(b, r.subnet...), 0), r.hostname...)
	for _, flag := range [...]bool{r.fqdnFwd, r.fqdnRev} {
		if flag {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	for i := range r.relays {
		level := &r.relays[i]
		link, peer := level.link.As16(), level.peer.As16()
		b = append(append(append(b, level.hop), link[:]...), peer[:]...)
		b = append(b, byte(len(level.options)>>8), byte(len(level.options)))
		b = append(b, level.options...)
	}
	return xxhash.Sum64(b) | 2 // never that of an end
}
