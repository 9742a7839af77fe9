package kea

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// hand is a pump that a test leads by hand.
type hand struct {
	t     *testing.T
	now   time.Time
	sink  *clusterSink
	pump  *pump
	file  *wayRun
	pages *wayRun
}

func newHand(t *testing.T, followed bool) *hand {
	h := &hand{t: t, now: time.Unix(someCLTT, 0)}
	h.tick()
	now := func() time.Time { return h.now }
	h.sink = newClusterSink(now)
	s, err := NewServer(ServerConfig{Leases: "x", now: now})
	if err != nil {
		t.Fatal(err)
	}
	s.recent = newRecent(followed, true)
	h.pump = newPump(s, h.sink)
	h.file, h.pages = newWayRun(true, false), newWayRun(false, followed)
	h.file.way, h.pages.way = quiet{}, quiet{}
	if followed {
		s.ways = append(s.ways, h.file)
	}
	s.ways = append(s.ways, h.pages)
	return h
}

func (h *hand) tick() time.Time {
	h.now = h.now.Add(time.Millisecond)
	return h.now
}

func (h *hand) say(w *wayRun, c chunk) {
	h.t.Helper()
	h.tick()
	if err := h.pump.chunk(h.t.Context(), w, c); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hand) push(r ...row) {
	h.t.Helper()
	h.pump.queue.put(&held{rows: r, count: len(r), arrived: h.tick(), conn: 1, stated: make(chan (<-chan struct{}), 1)})
	if err := h.pump.pushes(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.pump.acknowledged()
}

// holds checks which of the leases 1, 2, … the cluster has.
func (h *hand) holds(want ...int) {
	h.t.Helper()
	var got []int
	for p := range h.sink.leases {
		a := p.Addr().As16()
		got = append(got, int(a[15]))
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		h.t.Errorf("leases (-want +got):\n%s", diff)
	}
}

func numbered(i int, cltt int64) row {
	r := leaseRow(byte(i), cltt)
	r.prefix = netip.MustParsePrefix(fmt.Sprintf("2001:db8::%x/128", i))
	return r
}

func TestStatementSweepsWhatItDidNotHave(t *testing.T) {
	h := newHand(t, false)
	h.push(numbered(1, someCLTT), numbered(2, someCLTT), numbered(3, someCLTT))
	h.now = h.now.Add(20 * time.Second)
	h.say(h.pages, chunk{begin: &beginning{links: []link{{Label: "subnet 1"}}, linked: true}})
	h.say(h.pages, chunk{rows: []row{numbered(2, someCLTT), numbered(4, someCLTT)}, asked: h.tick()})
	h.push(numbered(5, someCLTT+20))
	h.say(h.pages, chunk{end: true})
	h.holds(2, 4, 5)
	if !h.sink.links["subnet 1"] || h.sink.resyncs != 1 {
		t.Errorf("links %v, %d resyncs", h.sink.links, h.sink.resyncs)
	}
}

// TestWhatWasJustPushedIsNotSwept: a Kea may get it from its HA partner later than we do. It is asked for.
func TestWhatWasJustPushedIsNotSwept(t *testing.T) {
	h := newHand(t, false)
	h.push(numbered(1, someCLTT))
	h.say(h.pages, chunk{begin: &beginning{}})
	h.say(h.pages, chunk{rows: []row{numbered(2, someCLTT)}, asked: h.tick()})
	h.say(h.pages, chunk{end: true})
	h.holds(1, 2)
	q, ok := h.pump.reread.next()
	if !ok || q.prefix != numbered(1, 0).prefix || q.due.Sub(h.now) != lagAsk {
		t.Errorf("asked for: %+v, %v", q, ok)
	}
	if err := h.pump.answered(t.Context(), finding{question: q, asked: h.tick()}); err != nil {
		t.Fatal(err)
	}
	h.holds(2)
}

// TestLeftOutLeaseIsNotSwept: what a page says of it is older than what was pushed.
func TestLeftOutLeaseIsNotSwept(t *testing.T) {
	h := newHand(t, false)
	h.push(numbered(1, someCLTT))
	h.say(h.pages, chunk{begin: &beginning{}})
	h.say(h.pages, chunk{rows: []row{numbered(1, someCLTT-50)}, asked: h.tick()})
	h.say(h.pages, chunk{end: true})
	h.holds(1)
	if l := h.sink.leases[numbered(1, 0).prefix]; l.GetStamp() != someCLTT {
		t.Errorf("%v", l)
	}
}

func TestPartialStatementSweepsNothing(t *testing.T) {
	h := newHand(t, false)
	h.push(numbered(1, someCLTT))
	h.now = h.now.Add(time.Hour)
	h.say(h.pages, chunk{begin: &beginning{partial: true}})
	h.say(h.pages, chunk{rows: []row{numbered(2, someCLTT+3600)}, asked: h.tick()})
	h.holds(1, 2)
	if h.sink.marked != nil || h.sink.resyncs != 0 {
		t.Error("a resync was begun")
	}
}

// TestEndOfAStatementThatBeganAgainSweepsNothing of what the second part has.
func TestEndOfAStatementThatBeganAgainSweepsNothing(t *testing.T) {
	h := newHand(t, false)
	h.say(h.pages, chunk{begin: &beginning{}})
	h.say(h.pages, chunk{rows: []row{numbered(1, someCLTT)}, asked: h.tick()})
	h.now = h.now.Add(time.Hour)
	h.say(h.pages, chunk{begin: &beginning{}})
	h.say(h.pages, chunk{rows: []row{numbered(2, someCLTT)}, asked: h.tick()})
	h.holds(1, 2)
	h.say(h.pages, chunk{end: true})
	h.holds(2)
}

// TestFileSweepsNothingWhereKeaCanBeAsked: the file lacks a lease that Kea has. Kea is asked after each statement of the file; what it
// does not list is gone.
func TestFileSweepsNothingWhereKeaCanBeAsked(t *testing.T) {
	h := newHand(t, true)
	h.say(h.pages, chunk{begin: &beginning{}})
	h.say(h.pages, chunk{rows: []row{numbered(1, someCLTT), numbered(2, someCLTT)}, asked: h.tick()})
	h.say(h.pages, chunk{end: true})
	h.now = h.now.Add(time.Hour)
	for range 2 {
		h.say(h.file, chunk{begin: &beginning{}})
		h.say(h.file, chunk{rows: []row{numbered(1, someCLTT), numbered(3, someCLTT)}, asked: h.tick()})
		h.say(h.file, chunk{end: true})
		h.holds(1, 2, 3)
		if len(h.pages.ring) != 1 || h.sink.resyncs != 1 {
			t.Fatalf("Kea is asked %d times after the file's statement; %d resyncs", len(h.pages.ring), h.sink.resyncs)
		}
		<-h.pages.ring
	}
	h.say(h.pages, chunk{begin: &beginning{}})
	h.say(h.pages, chunk{rows: []row{numbered(1, someCLTT)}, asked: h.tick()})
	h.say(h.file, chunk{rows: []row{numbered(4, h.now.Unix())}, events: true})
	h.say(h.pages, chunk{end: true})
	h.holds(1, 4)
}

func TestDoubtOfTheFileHasKeaAsked(t *testing.T) {
	h := newHand(t, true)
	h.say(h.file, chunk{doubt: "a torn line"})
	if len(h.pages.ring) != 1 || len(h.file.ring) != 0 {
		t.Errorf("rung: pages %d, file %d", len(h.pages.ring), len(h.file.ring))
	}
}

// TestLongStatementForgetsNothing: Kea has got a lease from its HA partner behind the cursor, and the statement takes hours.
func TestLongStatementForgetsNothing(t *testing.T) {
	h := newHand(t, false)
	h.push(numbered(1, someCLTT))
	h.say(h.pages, chunk{begin: &beginning{}})
	for range 100 {
		h.now = h.now.Add(time.Minute)
		h.say(h.pages, chunk{rows: []row{numbered(2, someCLTT)}, asked: h.tick()})
	}
	h.say(h.pages, chunk{end: true})
	h.holds(1, 2)
	h.now = h.now.Add(time.Minute)
	h.push(numbered(3, h.now.Unix()))
	if n := len(h.pump.recent.known); n != 1 {
		t.Errorf("%d addresses are remembered", n)
	}
}

// TestWayThatStandsBy makes a statement whenever it is asked for, and only then.
func TestWayThatStandsBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := 1
		w := newWayRun(false, true)
		w.way = stubborn{left: &left}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.run(ctx, slog.New(slog.DiscardHandler)) }()
		for range 3 {
			synctest.Wait()
			select {
			case <-w.chunks:
				t.Error("a statement that nobody asked for")
			default:
			}
			w.want()
			<-w.chunks
		}
		cancel()
		<-done
	})
}

// TestPageOlderThanWhatIsRememberedIsReadAgain because nobody knows what was pushed after it.
func TestPageOlderThanWhatIsRememberedIsReadAgain(t *testing.T) {
	h := newHand(t, false)
	h.say(h.pages, chunk{begin: &beginning{}})
	asked := h.tick()
	h.push(numbered(1, someCLTT))
	many := make([]row, recentMost)
	for i := range many {
		many[i] = leaseRow('b', someCLTT)
		many[i].prefix = netip.MustParsePrefix(fmt.Sprintf("2001:db8:1::%x:%x/128", i>>8, i&255))
	}
	h.push(many...)
	h.push(many[0])
	h.say(h.pages, chunk{rows: []row{numbered(1, someCLTT-1)}, asked: asked})
	h.say(h.pages, chunk{end: true})
	if len(h.pages.ring) != 1 {
		t.Error("no other statement is asked for")
	}
}

// TestWhatHasRunOut: in a full statement it is left to the sweep, else its end is told, at the time that it ran out.
func TestWhatHasRunOut(t *testing.T) {
	h := newHand(t, true)
	old := numbered(1, someCLTT-7300)
	h.say(h.pages, chunk{begin: &beginning{}})
	h.say(h.pages, chunk{rows: []row{old, numbered(2, someCLTT)}, asked: h.tick()})
	h.say(h.pages, chunk{end: true})
	h.holds(2)
	if len(h.sink.ends) != 0 {
		t.Errorf("%v", h.sink.ends)
	}
	reclaimed := old
	reclaimed.state = stateReclaimed
	h.say(h.file, chunk{rows: []row{old, reclaimed}, events: true})
	for i, e := range h.sink.ends {
		if age := time.Duration(e.GetAgeMs()) * time.Millisecond; e.GetReason() != ingestv1.Reason_REASON_EXPIRED || age < 100*time.Second || age > 101*time.Second ||
			(len(e.GetDuid()) == 0) != (i == 0) {
			t.Errorf("end %d: %v", i, e)
		}
	}
	if len(h.sink.ends) != 2 {
		t.Errorf("%d ends", len(h.sink.ends))
	}
}

// TestFileAndPushesTogether follows a real file while leases are pushed: what Kea writes, it sends too.
func TestFileAndPushesTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kea-leases6.csv")
	const header = "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source\n"
	now := time.Now()
	line := func(i int, valid uint32) string {
		return fmt.Sprintf("2001:db8::%x,00:03:00:01:%02x:%02x,%d,%d,1,3600,0,%d,128,0,0,,,0,,,\n", i+1, i>>8&255, i&255, valid, now.Unix()+int64(valid), i)
	}
	write := func(text string) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(header + line(0, 7200) + line(1, 7200))
	r := start(t, ServerConfig{Leases: path})
	if err := r.sink.has(r.ctx, func() bool { return r.sink.resyncs == 1 && len(r.sink.leases) == 2 }); err != nil {
		t.Fatalf("%v: %v", err, r.server.Condition())
	}
	for i := 2; i < 20; i++ {
		write(line(i, 7200))
		if reply := r.post(bulk([]map[string]any{someLease(i, map[string]any{"expire": now.Unix() + 7200})}, nil)); reply.result != 0 {
			t.Fatal(reply)
		}
	}
	write(line(3, 0) + line(4, 0) + line(20, 7200)) // an operator's delete is not pushed
	last := netip.MustParsePrefix("2001:db8::15/128")
	if err := r.sink.has(r.ctx, func() bool { return r.sink.leases[last] != nil && len(r.sink.leases) == 19 }); err != nil {
		t.Fatalf("%v: %d leases", err, len(r.sink.leases))
	}
	if c := r.server.Condition(); c.Trouble != "" || c.Refused != 0 {
		t.Errorf("%+v", c)
	}
}

// stubborn is a way that fails a few times.
type stubborn struct {
	quiet
	left *int
}

func (s stubborn) read(ctx context.Context, _ <-chan struct{}, out func(context.Context, chunk) error) error {
	if *s.left--; *s.left >= 0 {
		return os.ErrPermission
	}
	return out(ctx, chunk{begin: &beginning{}})
}

func TestWayThatFailsBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := 3
		w := &wayRun{way: stubborn{left: &left}, ring: make(chan struct{}, 1), chunks: make(chan chunk)}
		done := make(chan struct{})
		go func() { defer close(done); w.run(t.Context(), slog.New(slog.DiscardHandler)) }()
		synctest.Wait()
		if w.trouble() != os.ErrPermission.Error() {
			t.Errorf("trouble %q", w.trouble())
		}
		if c := <-w.chunks; c.begin == nil || w.trouble() != "" {
			t.Errorf("%+v, trouble %q", c, w.trouble())
		}
		<-done
	})
}

func TestConfigurationsThatCannotWork(t *testing.T) {
	for name, c := range map[string]ServerConfig{"nothing": {}, "a file of Kea's configuration alone": {KeaConfig: "x"}, "a password without a user": {Leases: "x", PushPassword: "y"},
		"answers without anything to fall back on": {Push: &net.TCPListener{}, PushEarly: true}} {
		if _, err := NewServer(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
