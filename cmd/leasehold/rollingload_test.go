package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// particulars are what differs between errors that are the same: addresses with ports, numbers of sources and batches.
var particulars = regexp.MustCompile(`(\[::1\]|127\.0\.0\.1):\d+|\d+`)

// toll is what became of one kind of load.
type toll struct {
	kind     string
	attempts atomic.Int64
	first    atomic.Int64 // errors at the first try
	again    atomic.Int64 // errors after one retry
	wrong    atomic.Int64 // answers that were complete and not right
	longest  atomic.Int64 // nanoseconds
	mu       sync.Mutex
	errs     map[string]int // what the errors were
}

// failed notes an error; tries is how many came one after the other.
func (y *toll) failed(tries int, err error) {
	switch tries {
	case 1:
		y.first.Add(1)
	case 2:
		y.again.Add(1)
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.errs[fmt.Sprintf("try %d: %s", tries, particulars.ReplaceAllString(err.Error(), "N"))]++
}

func (y *toll) took(d time.Duration) {
	for {
		old := y.longest.Load()
		if int64(d) <= old || y.longest.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// load is what a cluster has to bear while its nodes are stopped and started: requestors that ask all the time, and feeders.
type load struct {
	t       *testing.T
	cluster *laptop.Cluster
	streams []*stream
	tolls   []*toll
	stop    context.CancelFunc
	asking  sync.WaitGroup
	feeding sync.WaitGroup
}

// startLoad feeds what the queries ask for, and then asks and feeds until finish.
func startLoad(t *testing.T, c *laptop.Cluster, limit time.Duration) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(deadline(t, limit))
	l := &load{t: t, cluster: c, stop: cancel}
	t.Cleanup(func() {
		cancel()
		l.asking.Wait()
		l.feeding.Wait()
	})
	fed := l.toll("feeder session")
	for i := range 3 {
		l.feed(deadline(t, limit), newStream(i), fed)
	}
	until(t, deadline(t, time.Minute), "the first leases are there", func() bool {
		for _, s := range l.streams {
			if s.stated.Load() < 50 {
				return false
			}
		}
		return true
	})
	for relay, clients := range steadyRelays {
		y := l.toll(fmt.Sprintf("relay-id, %d clients, all servers", clients))
		for i := range 2 {
			l.ask(func() { l.askAll(ctx, y, i, l.byRelay(i, relay)) })
		}
	}
	y := l.toll("address, all servers")
	l.ask(func() { l.askAll(ctx, y, 2, l.byAddress(2)) })
	kept := l.toll("address, connection kept")
	for i := range 3 { // at the beginning one at each node
		l.ask(func() { l.askKept(ctx, kept, i, l.byAddress(i)) })
	}
	keptBulk := l.toll(fmt.Sprintf("relay-id, %d clients, connection kept", steadyRelays[2]))
	l.ask(func() { l.askKept(ctx, keptBulk, 1, l.byRelay(1, 2)) })
	return l
}

func (l *load) toll(kind string) *toll {
	y := &toll{kind: kind, errs: map[string]int{}}
	l.tolls = append(l.tolls, y)
	return y
}

func (l *load) ask(f func()) { l.asking.Go(f) }

// question is a query with the clients that its answer must have.
type question struct {
	query requestor.Query
	want  int
}

func (l *load) byRelay(stream, relay int) question {
	return question{requestor.Query{Type: dhcpv6.QueryByRelayID, RelayID: l.streams[stream].relayID(relay)}, steadyRelays[relay]}
}

func (l *load) byAddress(stream int) question {
	return question{requestor.Query{Type: dhcpv6.QueryByAddress, Address: l.streams[stream].address(1, stream)}, 1}
}

// servers is every node, beginning with the one of a number.
func (l *load) servers(first int) []string {
	all := l.cluster.Leasequery()
	return append(append([]string{}, all[first%len(all):]...), all[:first%len(all)]...)
}

// every calls f again and again until ctx ends, with a pause: the load is to be steady, not the most that the machine can bear.
func every(ctx context.Context, d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		f()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// askAll asks as `leasehold query` does, with every server in the list.
func (l *load) askAll(ctx context.Context, y *toll, first int, q question) {
	config := requestor.Config{ClientID: newDUID(), Rounds: 2}
	every(ctx, 20*time.Millisecond, func() {
		tries, found, began := 0, 0, time.Now()
		config.Report = func(a requestor.Attempt) {
			tries++
			y.failed(tries, a.Err)
		}
		// The work under way when the load ends is let end: a context that ends would count as an error.
		err := requestor.QueryAny(context.WithoutCancel(ctx), l.servers(first), config, q.query, func(*requestor.Client) error { found++; return nil })
		y.attempts.Add(1)
		y.took(time.Since(began))
		if err == nil && found != q.want {
			y.wrong.Add(1)
		}
		first++
	})
}

// askKept asks on one connection as long as there is one, and then at the next server.
func (l *load) askKept(ctx context.Context, y *toll, at int, q question) {
	config := requestor.Config{ClientID: newDUID()}
	var conn *requestor.Conn
	ask := func() (found int, err error) {
		if conn == nil {
			if conn, err = requestor.Dial(context.WithoutCancel(ctx), l.servers(at)[0], config); err != nil {
				return 0, err
			}
		}
		err = conn.Query(context.WithoutCancel(ctx), q.query, func(*requestor.Client) error { found++; return nil })
		return found, err
	}
	every(ctx, 20*time.Millisecond, func() {
		began := time.Now()
		for tries := 1; tries <= 3; tries++ {
			found, err := ask()
			if err == nil {
				if found != q.want {
					y.wrong.Add(1)
				}
				break
			}
			y.failed(tries, err)
			if conn != nil {
				conn.Close()
				conn = nil
			}
			at++
		}
		y.attempts.Add(1)
		y.took(time.Since(began))
	})
	if conn != nil {
		conn.Close()
	}
}

// sessions counts the sessions of a feeder that end.
type sessions struct {
	slog.Handler
	ended func(err string)
}

func (h sessions) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs is the same handler: a session's end is told with all that is needed.
func (h sessions) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h sessions) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "error" {
			h.ended(a.Value.String())
		}
		return true
	})
	return nil
}

// feed runs a feeder. A session that ends counts as an error at the first try, one that ends before its node took it, right
// after another, as an error after the retry.
func (l *load) feed(ctx context.Context, s *stream, y *toll) {
	l.streams = append(l.streams, s)
	var agent *feed.Agent
	tries, last := 0, uint64(0)
	log := slog.New(sessions{slog.DiscardHandler, func(text string) {
		if n := agent.Totals().Sessions; n > last {
			tries, last = 0, n
		}
		tries++
		y.failed(tries, errors.New(text))
	}})
	config := feedConfig(s.name(), l.cluster.GRPC(), 0, log, nil)
	agent, err := feed.New(config, s)
	if err != nil {
		l.t.Fatal(err)
	}
	l.feeding.Go(func() {
		if err := agent.Run(ctx); err != nil {
			l.t.Errorf("feeder %s: %v", s.name(), err)
		}
		y.attempts.Add(int64(agent.Totals().Sessions))
	})
	l.feeding.Go(func() { watchAcknowledged(ctx, s, agent, y) })
}

// watchAcknowledged notes the longest time without an acknowledgement.
func watchAcknowledged(ctx context.Context, s *stream, agent *feed.Agent, y *toll) {
	last, since := uint64(0), time.Now()
	watching, done := context.WithCancel(ctx)
	defer done()
	every(watching, 5*time.Millisecond, func() {
		if n := agent.Totals().Leases; n != last {
			if last > 0 {
				y.took(time.Since(since))
			}
			last, since = n, time.Now()
		}
		select {
		case <-s.stop:
			done()
		default:
		}
	})
}

// finish ends the load, prints what became of it and fails unless nothing went wrong that one retry did not mend, and
// everything that was acknowledged is on every node.
func (l *load) finish() {
	t := l.t
	t.Helper()
	l.stop()
	l.asking.Wait()
	for _, s := range l.streams {
		close(s.stop)
	}
	l.feeding.Wait()
	l.print()
	for _, y := range l.tolls {
		if n := y.again.Load(); n > 0 {
			t.Errorf("%s: %d errors after one retry", y.kind, n)
		}
		if n := y.wrong.Load(); n > 0 {
			t.Errorf("%s: %d answers were complete and wrong", y.kind, n)
		}
		if y.attempts.Load() == 0 {
			t.Errorf("%s: nothing was tried", y.kind)
		}
	}
	want := map[string]string{}
	for _, s := range l.streams {
		s.want(want)
	}
	if n := requireSameState(t, l.cluster); n != uint64(len(want)) {
		t.Errorf("%d bindings, %d were acknowledged", n, len(want))
	}
	for _, n := range l.cluster.Nodes {
		if got := listed(t, n); !maps.Equal(want, got) {
			t.Errorf("%s lists %d bindings, and they are not the %d that were acknowledged", n.Name, len(got), len(want))
		}
	}
}

func (l *load) print() {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "load\tdone\terrors at first try\tafter one retry\tlongest\t")
	for _, y := range l.tolls {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%v\t\n", y.kind, y.attempts.Load(), y.first.Load(), y.again.Load(), time.Duration(y.longest.Load()).Round(time.Millisecond))
	}
	w.Flush()
	for _, y := range l.tolls {
		for text, n := range y.errs {
			fmt.Fprintf(&b, "%s: %d × %s\n", y.kind, n, text)
		}
	}
	l.t.Logf("\n%s", b.String())
}
