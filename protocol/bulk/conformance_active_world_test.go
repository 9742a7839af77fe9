package bulk

import (
	"context"
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/store"
	"github.com/leasehold/leasehold/fsm/watch"
	"github.com/leasehold/leasehold/protocol/active"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// moving is a state that changes while it is asked: the real store and the real feed, joined as the state machine joins them.
type moving struct {
	mu     sync.Mutex // of the writer
	store  *store.Store
	feed   *watch.Feed
	index  uint64
	source string

	asked sync.Mutex
	clock binding.Time
	age   time.Duration // of the proof of freshness; negative: none
	fail  error         // what View returns, if not nil
}

func newMoving() *moving {
	m := &moving{store: store.New(), feed: watch.New(0), clock: now, source: "kea"}
	m.store.CollectMarks(m.feed.Size())
	m.store.KeepLastTransaction()
	m.store.SetHistory(10 * time.Minute)
	return m
}

func (m *moving) View(context.Context) (binding.View, error) {
	m.asked.Lock()
	defer m.asked.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	return m.store.View(), nil
}

func (m *moving) Latest() binding.History { return m.store.View() }
func (m *moving) Feed() binding.Feed      { return m.feed }
func (m *moving) ServerDUID() []byte      { return clusterID }

func (m *moving) Now() binding.Time {
	m.asked.Lock()
	defer m.asked.Unlock()
	return m.clock
}

func (m *moving) Fresh() (time.Duration, bool) {
	m.asked.Lock()
	defer m.asked.Unlock()
	return m.age, m.age >= 0
}

// proven sets the age of the proof of freshness; negative: there is none.
func (m *moving) proven(age time.Duration) {
	m.asked.Lock()
	defer m.asked.Unlock()
	m.age = age
}

// failing makes every further View fail.
func (m *moving) failing(err error) {
	m.asked.Lock()
	defer m.asked.Unlock()
	m.fail = err
}

// tick is the time that an entry has, after so many milliseconds.
func (m *moving) tick(ms int) binding.Time {
	m.asked.Lock()
	defer m.asked.Unlock()
	m.clock += binding.Time(ms)
	return m.clock
}

// put applies changes in one entry, so many milliseconds later.
func (m *moving) put(t testing.TB, ms int, changes ...binding.Change) *moving {
	t.Helper()
	for i := range changes {
		if err := changes[i].Validate(); err != nil {
			t.Fatal(err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index++
	m.store.Apply(store.Batch{Index: m.index, Clock: m.tick(ms), Source: m.source, Changes: changes})
	m.feed.Publish(m.store.TakeMarks())
	return m
}

// pass lets so many milliseconds go by: a time entry, with what is due by then.
func (m *moving) pass(ms int) *moving {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index++
	m.store.Maintain(m.index, m.tick(ms), 1<<20)
	m.feed.Publish(m.store.TakeMarks())
	return m
}

// base is OPTION_LQ_BASE_TIME so many milliseconds after the moving state's first moment.
func base(ms int) []byte {
	return opt(optBaseTime, u32(uint32((int64(now)+int64(ms))/1000-946684800)))
}

// start is OPTION_LQ_START_TIME likewise.
func start(ms int) []byte {
	return opt(optStartTime, u32(uint32((int64(now)+int64(ms))/1000-946684800)))
}

// subscribe is an ACTIVELEASEQUERY with a client-id; subscribed is the REPLY to it, update a DATA, over the DONE that ends it.
func subscribe(id int, options ...[]byte) []byte {
	return msg(msgActive, id, opt(optClientID, requestorID), cat(options...))
}

func subscribed(id int, base []byte, options ...[]byte) []byte {
	return msg(msgAnswer, id, opt(optClientID, requestorID), opt(optServerID, clusterID), base, cat(options...))
}

func update(id int, base []byte, options ...[]byte) []byte {
	return msg(msgData, id, base, cat(options...))
}

// inClear lets anybody subscribe without TLS.
func inClear(set ...func(*Config)) Config {
	c := Config{Active: active.Config{Enabled: true, Insecure: true}}
	for _, f := range set {
		f(&c)
	}
	return c
}

// activeHouse is a link with a client of an address and a prefix behind a relay, that spoke 100 s ago.
func activeHouse(t testing.TB) *moving {
	t.Helper()
	chain := onRelay("2001:db8:1::1", "relay-a", "port-a")
	return newMoving().put(t, 0,
		link("one", []string{"2001:db8:1::/48", "2001:db8:8000::/33"}, "2001:db8:1::1"),
		lease(binding.NA, "2001:db8:1::a", "client-a", chain), lease(binding.PD, "2001:db8:8000::/56", "client-a", chain))
}

// expectDone wants the DONE with a status and the base time, whose text is the server's own, and the end behind it.
func (w *wire) expectDone(id, status int, base []byte) {
	w.t.Helper()
	w.expectText(msg(msgDone, id, base), status)
	w.expectEnd()
}

// expectText wants a message that begins as head, with a status and a text behind it.
func (w *wire) expectText(head []byte, status int) {
	w.t.Helper()
	got := w.next()
	n := len(head)
	if len(got) < n+7 || string(got[2:n]) != string(head[2:]) || string(got[n:n+2]) != string(u16(optStatus)) ||
		string(got[n+2:n+4]) != string(u16(len(got)-n-4)) || string(got[n+4:n+6]) != string(u16(status)) {
		w.t.Fatalf("want status %d behind\n%sgot\n%s", status, dump(head), dump(got))
	}
}

// leaseOf is one of many clients' address.
func leaseOf(n int) binding.Change {
	a := [16]byte(addr("2001:db8:1:1::"))
	binary.BigEndian.PutUint32(a[12:], uint32(n))
	return lease(binding.NA, netip.AddrFrom16(a).String(), "client"+string(u32(uint32(n))), nil)
}

// stallSubscriber makes changes until nothing more of them goes to a subscriber that reads nothing, and tells how many it made.
func stallSubscriber(t *testing.T, s *served, m *moving, w *wire) (changes int) {
	t.Helper()
	if err := w.SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	for still := 0; still < 3; still++ {
		batch := make([]binding.Change, 0, 5000)
		for range cap(batch) {
			batch = append(batch, leaseOf(changes))
			changes++
		}
		sent := s.metric(t, MetricOctets, "")
		m.put(t, 1, batch...)
		if s.sendsMore(t, sent) {
			still = -1
		}
	}
	return changes
}

// sendsMore tells whether more octets than those go to the kernel before long.
func (s *served) sendsMore(t *testing.T, than float64) bool {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 300 {
		if s.metric(t, MetricOctets, "") > than {
			return true
		}
		<-tick.C
	}
	return false
}

// state is what a leasequery engine reads.
var _ leasequery.History = (*moving)(nil)
