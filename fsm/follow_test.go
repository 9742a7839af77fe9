package fsm

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// follower is a subscriber that knows a state machine by its feed and by Oldest and At alone. What it was told is in its table; it
// forgets a lease when it is told that it ended, whoever it was told has it: so the order of what it is told must be right.
type follower struct {
	filter func(*binding.Entry) bool
	beside bool // whether entries are applied while it reads
	table  map[binding.Key]string

	position uint64
	bases    []binding.Time // what it could begin again at, in the order in which it learned them: whole seconds

	client    string // the client told of last, and up to which change
	upTo      uint64
	missing   int // how often something was lost, so that it read everything anew
	overflows int
	told      int
}

func newFollower(filter func(*binding.Entry) bool) *follower {
	return &follower{filter: filter, table: map[binding.Key]string{}}
}

func leaseOf(c *binding.Client, e *binding.Entry) string {
	return fmt.Sprintf("%d %x %v %d %d %d %d %x %x", c.Link, c.DUID, e.Kind, e.IAID, e.Preferred, e.Valid, e.LastTransaction, e.Chain, e.Options)
}

func keyOfEntry(e *binding.Entry) binding.Key {
	return binding.Key{Prefix: e.Prefix, Delegated: e.Kind == binding.PD}
}

// stateOf is what the table must be at last.
func stateOf(v binding.History, filter func(*binding.Entry) bool) map[binding.Key]string {
	out := map[binding.Key]string{}
	var c binding.Client
	for cursor := v.Select(binding.Query{}); cursor.Next(&c); {
		for i := range c.Entries {
			if e := &c.Entries[i]; e.State == binding.Active && filter(e) {
				out[keyOfEntry(e)] = leaseOf(&c, e)
			}
		}
	}
	return out
}

// begin reads everything, as a bulk query does, and goes on from there.
func (s *follower) begin(v binding.History) {
	s.table = stateOf(v, s.filter)
	s.position, s.client = v.Change(), ""
	s.bases = []binding.Time{second(v.Clock())}
}

func second(t binding.Time) binding.Time { return t / 1000 * 1000 }

// again begins again at a base time that it was told, as after a lost connection.
func (s *follower) again(v binding.History, base binding.Time) {
	s.client = ""
	if base < v.HistorySince() {
		s.missing++
		s.begin(v)
		return
	}
	s.position = binding.ChangesFrom(base)
	s.bases = s.bases[:0]
	s.bases = append(s.bases, base)
}

// read reads one page of marks, and is false when there is nothing left.
func (s *follower) read(t testingT, f *FSM, room int) bool {
	t.Helper()
	marks, reaches := f.Feed().After(s.position, make([]binding.Mark, 0, room))
	v := binding.History(f.View())
	defer v.Release()
	if v.HistoryAfter() > v.Change() {
		t.Fatalf("what is to be found begins behind %d, the newest change is %d", v.HistoryAfter(), v.Change())
	}
	if s.position < v.HistoryAfter() {
		s.missing++
		s.begin(v)
		return true
	}
	if !reaches {
		s.overflows++
		if marks = v.Oldest(s.position, make([]binding.Mark, 0, room)); len(marks) == 0 {
			s.position = max(s.position, v.Change())
		}
	}
	for _, m := range marks {
		if m.Change <= s.position || m.Change > v.Change() {
			t.Fatalf("change %d behind %d in a view at %d", m.Change, s.position, v.Change())
		}
		s.tell(t, v, m)
		s.position = m.Change
		s.base(t, second(binding.ChangeTime(m.Change)))
	}
	if s.position >= v.Change() {
		s.position = max(s.position, binding.ChangesFrom(v.Clock()))
		s.base(t, second(v.Clock()))
		return false
	}
	if len(marks) == 0 && s.beside {
		return false // the feed will have it soon
	}
	if len(marks) == 0 {
		t.Fatalf("nothing behind %d, but the view is at %d", s.position, v.Change())
	}
	return true
}

// base learns a base time. They never go back.
func (s *follower) base(t testingT, b binding.Time) {
	t.Helper()
	if n := len(s.bases); n > 0 && b < s.bases[n-1] {
		t.Fatalf("base time %d after %d", b, s.bases[n-1])
	}
	s.bases = append(s.bases, b)
}

// tell takes in what there is to be told at one mark.
func (s *follower) tell(t testingT, v binding.History, m binding.Mark) {
	t.Helper()
	var c binding.Client
	if !v.At(m, &c) {
		return
	}
	i := slices.IndexFunc(c.Entries, func(e binding.Entry) bool { return e.Change == m.Change })
	if i < 0 {
		t.Fatalf("client %x has no entry with the change %d", c.DUID, m.Change)
	}
	if c.Entries[i].State == binding.Active && slices.ContainsFunc(c.Entries, func(e binding.Entry) bool { return e.Change > m.Change }) {
		return // it is told whole at its newest mark
	}
	live := map[binding.Key]bool{}
	for i := range c.Entries {
		e := &c.Entries[i]
		if e.State != binding.Active || !s.filter(e) {
			continue
		}
		live[keyOfEntry(e)] = true
		if e.Change <= m.Change {
			s.table[keyOfEntry(e)] = leaseOf(&c, e)
			s.told++
		}
	}
	id := fmt.Sprintf("%d %x", c.Link, c.DUID)
	for i := range c.Entries {
		e := &c.Entries[i]
		early := s.client == id && e.Change <= s.upTo
		if e.State != binding.Active && s.filter(e) && e.Change >= m.Change && !live[keyOfEntry(e)] && !early {
			delete(s.table, keyOfEntry(e))
			s.told++
		}
	}
	if s.client != id {
		s.client, s.upTo = id, 0
	}
	for i := range c.Entries {
		if e := &c.Entries[i]; e.State != binding.Active {
			s.upTo = max(s.upTo, e.Change)
		}
	}
}

func (s *follower) same(t testingT, f *FSM) {
	t.Helper()
	v := binding.History(f.View())
	defer v.Release()
	if want := stateOf(v, s.filter); !maps.Equal(want, s.table) {
		for k := range want {
			if want[k] == s.table[k] {
				delete(want, k)
				delete(s.table, k)
			}
		}
		t.Fatalf("follower has beside the state %.2000s, the state beside it %.2000s", fmt.Sprint(s.table), fmt.Sprint(want))
	}
}

// secondRelay is the relay-id of the other relay of drawMoves.
var secondRelay = []byte{0, 3, 0, 2}

// drawMoves is drawLog with clients that move between two relays, and with every reason for an end.
func drawMoves(t *rapid.T) *builder {
	b := newLog(t)
	next := map[string]uint64{}
	b.settings(testSettings)
	for range rapid.IntRange(10, 60).Draw(t, "entries") {
		b.clock += binding.Time(rapid.SampledFrom([]int{0, 0, 1, 300, 1000, 8000, 70_000, -3000}).Draw(t, "time passes"))
		s := Session{Source: rapid.SampledFrom([]string{"kea-a", "kea-b"}).Draw(t, "source"), Epoch: 1}
		kind := rapid.IntRange(0, 9).Draw(t, "entry")
		if kind < 9 {
			next[s.Source]++
			s.Sequence = next[s.Source]
		}
		switch kind {
		default:
			b.changes(s, drawMovedChanges(t)...)
		case 6:
			b.begin(s, false)
		case 7:
			b.end(s)
		case 8:
			b.changes(s, defineLink("x", rapid.SampledFrom([]string{"2001:db8:a::/48", "2001:db8:b::/48"}).Draw(t, "prefix"), "7"))
		case 9:
			b.tick(rapid.SampledFrom([]uint32{1, 3, 1000}).Draw(t, "limit"))
		}
	}
	return b
}

func drawMovedChanges(t *rapid.T) []Change {
	changes := drawChanges(t)
	for i := range changes {
		c := &changes[i]
		switch {
		case c.Event == binding.End:
			c.Reason = rapid.SampledFrom([]binding.State{binding.Released, binding.Declined, binding.Expired, binding.Deleted}).Draw(t, "reason")
		case c.Event == binding.Upsert && len(c.Binding.Chain) > 0 && rapid.IntRange(0, 2).Draw(t, "relay") == 0:
			c.Binding.Chain = binding.AppendChain(nil, address(0).Addr(), []binding.Level{{
				Link: address(1 << 17).Addr(), Peer: address(0).Addr(), Options: append([]byte{0, 53, 0, 4}, secondRelay...)}})
			c.Binding.LinkName = nil
		}
	}
	return changes
}

// TestFollowersEndWithTheState lets subscribers follow random logs by reading changes alone, a page at a time, while entries are
// applied, snapshots restored and connections lost at any base time that they were told. At the end they have exactly the state,
// although feeds of a few changes overflow again and again.
func TestFollowersEndWithTheState(t *testing.T) {
	var overflows, missing, told int
	rapid.Check(t, func(t *rapid.T) {
		logs := drawMoves(t).logs
		size := rapid.SampledFrom([]int{1, 4, 30, 100_000}).Draw(t, "feed")
		f := New(Config{FeedSize: size, Halt: func(err error) { t.Fatalf("halted: %v", err) }})
		everything := newFollower(func(*binding.Entry) bool { return true })
		relay := newFollower(func(e *binding.Entry) bool { return e.Chain.HasRelayID(secondRelay) })
		steps := map[string]func(*rapid.T){
			"apply": func(t *rapid.T) {
				n := min(rapid.IntRange(1, 5).Draw(t, "batch"), len(logs))
				f.ApplyBatch(logs[:n])
				logs = logs[n:]
			},
			"restore": func(t *rapid.T) {
				g := restore(t, snapshotOf(t, f))
				n := min(rapid.IntRange(0, 4).Draw(t, "ahead"), len(logs))
				g.ApplyBatch(logs[:n])
				logs = logs[n:]
				if err := f.Restore(closer{snapshotReader(t, g)}); err != nil {
					t.Fatal(err)
				}
			},
		}
		for name, s := range map[string]*follower{"everything": everything, "relay": relay} {
			steps["read "+name] = func(t *rapid.T) { s.read(t, f, rapid.SampledFrom([]int{1, 2, 1000}).Draw(t, "room")) }
			steps["again "+name] = func(t *rapid.T) {
				if len(s.bases) > 0 {
					v := f.View()
					s.again(v, rapid.SampledFrom(s.bases).Draw(t, "base"))
					v.Release()
				}
			}
		}
		t.Repeat(steps)
		f.ApplyBatch(logs)
		for _, s := range []*follower{everything, relay} {
			for n := 0; s.read(t, f, 3); n++ {
				if n > 10_000 {
					t.Fatalf("reading does not come to an end: at %d", s.position)
				}
			}
			s.same(t, f)
			overflows, missing, told = overflows+s.overflows, missing+s.missing, told+s.told
		}
	})
	t.Logf("%d leases and ends told, %d pages from the state itself, %d times everything read anew", told, overflows, missing)
	if told == 0 || overflows == 0 || missing == 0 {
		t.Error("the logs do not reach everything that this test is about")
	}
}
