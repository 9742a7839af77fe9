package bulk

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// Past the limit of queries the server neither begins nor reads: the octets stay with the requestor.
func TestQueriesPastTheLimitAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{MaxQueriesPerConnection: 2}, &script{}).start(t)
		c := f.dial()
		send(t, c, append(ask(1, 10_000), ask(2, 10_000)...))
		synctest.Wait()
		written := make(chan struct{})
		go func() {
			defer close(written)
			send(t, c, ask(3, 1))
		}()
		pass(time.Minute)
		select {
		case <-written:
			t.Error("the third query was read while two were running")
		default:
		}
		if n := f.script.begun.Load(); n != 2 {
			t.Errorf("%d queries begun, want 2", n)
		}
		frames := dhcpv6.NewReader(c, nil)
		done := 0
		for done < 3 {
			g, err := readOne(frames)
			if err != nil {
				t.Fatal(err)
			}
			if g.Type == dhcpv6.MessageLeasequeryDone {
				done++
			}
		}
		<-written
		f.stop(t)
	})
}

func TestQueriesOfARequestorAreLimitedOverConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{MaxQueriesPerRequestor: 2}, &script{}).start(t)
		first, second, other := f.dial(), f.dial(), f.pipes.dial(netip.MustParseAddr("127.0.0.1"))
		send(t, first, append(ask(1, 1000), ask(2, 1000)...))
		synctest.Wait()
		send(t, second, ask(3, 5))
		send(t, other, ask(4, 5))
		synctest.Wait()
		if n := f.script.begun.Load(); n != 3 {
			t.Errorf("%d queries begun, want 3: the third of one requestor waits, another requestor's does not", n)
		}
		frames := dhcpv6.NewReader(first, nil)
		for done := 0; done < 2; {
			g, err := readOne(frames)
			if err != nil {
				t.Fatal(err)
			}
			if g.Type == dhcpv6.MessageLeasequeryDone {
				done++
			}
		}
		frames = dhcpv6.NewReader(second, nil)
		for _, want := range answered(3, 5) {
			if g, err := readOne(frames); err != nil || g != want {
				t.Fatalf("got %v, %v, want %v", g, err, want)
			}
		}
		f.stop(t)
	})
}

// One connection may not wait for tokens that its own answers hold, begun but not yet handed over.
func TestLimitsSmallerThanWhatOneReadBrings(t *testing.T) {
	for _, config := range []Config{{MaxQueriesPerConnection: 1}, {MaxQueriesPerRequestor: 1}, {MaxQueriesPerConnection: 3, MaxQueriesPerRequestor: 2}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, config, &script{}).start(t)
			c := f.dial()
			var burst []byte
			for id := range byte(20) {
				burst = append(burst, ask(id, int(id))...)
			}
			send(t, c, burst)
			frames := dhcpv6.NewReader(c, nil)
			seen := map[byte]int{}
			for range 1 + 20*21/2 - 1 { // one message for none, n+1 for n clients
				g, err := readOne(frames)
				if err != nil {
					t.Fatal(err)
				}
				seen[g.ID]++
			}
			for id := range byte(20) {
				if want := len(answered(id, int(id))); seen[id] != want {
					t.Errorf("%d messages for query %d, want %d", seen[id], id, want)
				}
			}
			f.stop(t)
		})
	}
}

func TestConnectionLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{MaxConnections: 3}, &script{}).start(t)
		busy, idle, newer := f.dial(), f.dial(), f.dial()
		send(t, busy, ask(1, 1000)) // its answer is not read: it runs on
		pass(time.Second)
		send(t, newer, ask(2, 0))
		if _, err := readOne(dhcpv6.NewReader(newer, nil)); err != nil {
			t.Fatal(err)
		}
		fourth := f.dial()
		if all, err := readAll(idle); len(all) != 0 || !isEnd(err) {
			t.Errorf("the longest idle connection got %v, %v; want its end", all, err)
		}
		send(t, fourth, ask(3, 1000))
		send(t, newer, ask(4, 1000))
		synctest.Wait()
		fifth := f.dial()
		if all, err := readAll(fifth); len(all) != 0 || !isEnd(err) {
			t.Errorf("with all connections busy the newcomer got %v, %v; want its end", all, err)
		}
		if diff := cmp.Diff([]float64{1, 1, 3}, []float64{
			f.metric(t, MetricClosed, "evicted"), f.metric(t, MetricRefused, "limit"), f.metric(t, MetricConnections, ""),
		}); diff != "" {
			t.Errorf("evicted, refused, open (-want +got):\n%s", diff)
		}
		for _, c := range []net.Conn{busy, fourth, newer} {
			go func() { _, _ = readAll(c) }()
		}
		f.stop(t)
	})
}

// A connection whose first query is still on its way does not make room before one that has been idle for longer.
func TestNewcomerIsNotTheLongestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{MaxConnections: 2}, &script{}).start(t)
		var idle []net.Conn
		for id := range byte(2) {
			c := f.dial()
			send(t, c, ask(id, 0))
			if _, err := readOne(dhcpv6.NewReader(c, nil)); err != nil {
				t.Fatal(err)
			}
			idle = append(idle, c)
			pass(time.Second)
		}
		first := f.dial()
		pass(time.Second)
		second := f.dial()
		for i, c := range idle {
			if all, err := readAll(c); len(all) != 0 || !isEnd(err) {
				t.Errorf("idle connection %d got %v, %v; want its end", i, all, err)
			}
		}
		for i, c := range []net.Conn{first, second} {
			send(t, c, ask(3, 0))
			if _, err := readOne(dhcpv6.NewReader(c, nil)); err != nil {
				t.Errorf("newcomer %d: %v", i, err)
			}
		}
		f.stop(t)
	})
}

// Half a message does not keep a place: it would for BULK_LQ_DATA_TIMEOUT.
func TestHalfAMessageMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{MaxConnections: 1}, &script{}).start(t)
		half := f.dial()
		send(t, half, ask(1, 1)[:7])
		synctest.Wait()
		c := f.dial()
		if _, err := readAll(half); !isEnd(err) {
			t.Errorf("half: %v", err)
		}
		send(t, c, ask(1, 0))
		if _, err := readOne(dhcpv6.NewReader(c, nil)); err != nil {
			t.Error(err)
		}
		f.stop(t)
	})
}

func TestConnectionsOfARequestorAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{MaxConnectionsPerRequestor: 2}, &script{}).start(t)
		other := f.pipes.dial(netip.MustParseAddr("127.0.0.1"))
		first, second := f.dial(), f.dial()
		third := f.dial()
		if _, err := readAll(first); !isEnd(err) {
			t.Errorf("the requestor's own longest idle connection: %v, want its end", err)
		}
		send(t, second, ask(1, 1000))
		send(t, third, ask(2, 1000))
		synctest.Wait()
		if _, err := readAll(f.dial()); !isEnd(err) {
			t.Errorf("newcomer: %v, want its end", err)
		}
		send(t, other, ask(3, 0))
		if _, err := readOne(dhcpv6.NewReader(other, nil)); err != nil {
			t.Errorf("another requestor: %v", err)
		}
		if n := f.metric(t, MetricRefused, "requestor-limit"); n != 1 {
			t.Errorf("%s{requestor-limit} = %v, want 1", MetricRefused, n)
		}
		for _, c := range []net.Conn{second, third} {
			go func() { _, _ = readAll(c) }()
		}
		f.stop(t)
	})
}

func TestStrangersAreClosedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{}, &script{}).start(t)
		start := time.Now()
		if all, err := readAll(f.pipes.dial(netip.MustParseAddr("2001:db8::1"))); len(all) != 0 || !isEnd(err) {
			t.Errorf("a stranger got %v, %v", all, err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("closed after %v, want at once", d)
		}
		if n := f.metric(t, MetricRefused, "stranger"); n != 1 {
			t.Errorf("%s{stranger} = %v, want 1", MetricRefused, n)
		}
		f.stop(t)
	})
}
