package bulk

import (
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// endOf tells when, from now, the server ends a connection that is only read.
func endOf(c io.Reader) <-chan time.Duration {
	done := make(chan time.Duration, 1)
	start := time.Now()
	go func() {
		_, _ = io.Copy(io.Discard, c) // however it ends, this is when
		done <- time.Since(start)
	}()
	return done
}

func TestIdleConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{IdleTimeout: 100 * time.Second}, &script{}).start(t)
		if got := <-endOf(f.dial()); got != 100*time.Second {
			t.Errorf("closed after %v, want 1m40s", got)
		}
		f.stop(t)
		if n := f.metric(t, MetricClosed, "idle"); n != 1 {
			t.Errorf("%s{idle} = %v, want 1", MetricClosed, n)
		}
	})
}

// The idle time begins anew when an answer has been sent whole, and only then: discarded messages do not count.
func TestIdleTimeCountsFromTheLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{IdleTimeout: 100 * time.Second}, &script{}).start(t)
		c := f.dial()
		ended := endOf(c)
		pass(60 * time.Second)
		send(t, c, ask(1, 3))
		pass(60 * time.Second)
		send(t, c, []byte{0, 4, 99, 0, 0, 1}) // an unknown message type
		if got := <-ended; got != 160*time.Second {
			t.Errorf("closed after %v, want 2m40s", got)
		}
		f.stop(t)
	})
}

func TestIdleTimeoutSparesRunningQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{IdleTimeout: 10 * time.Second, DataTimeout: 300 * time.Second}, &script{}).start(t)
		c := f.dial()
		send(t, c, ask(1, 5000))
		pass(200 * time.Second)
		all, err := readAll(c)
		if diff := cmp.Diff(answered(1, 5000), all); diff != "" || !isEnd(err) {
			t.Errorf("answer (-want +got):\n%s\nend: %v", diff, err)
		}
		f.stop(t)
	})
}

func TestStalledReaderIsClosed(t *testing.T) {
	for _, tc := range []struct {
		name  string
		every time.Duration // an octet is read this often; 0 for never
	}{{"reads nothing", 0}, {"reads single octets", 7 * time.Second}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, Config{}, &script{}).start(t)
				c := f.dial()
				start := time.Now()
				send(t, c, ask(1, 100_000))
				for tc.every > 0 && time.Since(start) < 290*time.Second {
					if _, err := c.Read(make([]byte, 1)); err != nil {
						t.Fatalf("after %v: %v", time.Since(start), err)
					}
					pass(tc.every)
				}
				pass(DefaultDataTimeout - time.Since(start) - time.Second)
				synctest.Wait()
				if n := f.metric(t, MetricConnections, ""); n != 1 {
					t.Fatalf("%v connections a second before BULK_LQ_DATA_TIMEOUT, want 1", n)
				}
				pass(2 * time.Second)
				synctest.Wait()
				if n := f.metric(t, MetricClosed, "stalled"); n != 1 {
					t.Errorf("%s{stalled} = %v, want 1", MetricClosed, n)
				}
				if n := f.script.closed.Load(); n != 1 {
					t.Errorf("%d answers closed, want 1", n)
				}
				f.stop(t)
			})
		})
	}
}

// Single octets do not renew a frame's time (RFC 5460 7.1).
func TestHalfFrameIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{IdleTimeout: time.Hour}, &script{}).start(t)
		c := f.dial()
		pass(50 * time.Second)
		ended := endOf(c)
		written := make(chan struct{})
		go func() {
			defer close(written)
			for _, b := range ask(1, 1) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				pass(31 * time.Second)
			}
		}()
		if got := <-ended; got != DefaultDataTimeout {
			t.Errorf("closed %v after the first octet, want %v", got, DefaultDataTimeout)
		}
		<-written
		f.stop(t)
		if n := f.metric(t, MetricClosed, "frame-timeout"); n != 1 {
			t.Errorf("%s{frame-timeout} = %v, want 1", MetricClosed, n)
		}
	})
}

// A frame's time is not used up while the server itself does not read.
func TestFrameTimeStopsWhileTheServerDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		f := newFixture(t, Config{MaxQueriesPerConnection: 1, IdleTimeout: time.Hour}, &script{hold: hold}).start(t)
		c := f.dial()
		second := ask(2, 1)
		send(t, c, append(ask(1, 1), second[:5]...)) // the rest cannot be sent: the server does not read
		pass(2 * DefaultDataTimeout)
		close(hold)
		frames := dhcpv6.NewReader(c, nil)
		for range 2 {
			if _, err := readOne(frames); err != nil {
				t.Fatal(err)
			}
		}
		pass(10 * time.Second)
		send(t, c, second[5:])
		for range 2 {
			if g, err := readOne(frames); err != nil || g.ID != 2 {
				t.Fatalf("got %v, %v", g, err)
			}
		}
		f.stop(t)
	})
}

func TestViewLimits(t *testing.T) {
	for _, tc := range []struct {
		name         string
		config       Config
		pinned, kept int64
	}{
		{"age", Config{MaxViewAge: 60 * time.Second}, 0, 0},
		{"pinned octets", Config{MaxViewPinned: 1000}, 1001, 1001},
		{"octets kept by all", Config{MaxViewPinned: 1000, MaxViewsKept: 2000}, 1000, 2001},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, tc.config, &script{}).start(t)
				c := f.dial()
				send(t, c, append(ask(1, 100_000), ask(2, 100_000)...))
				pass(59 * time.Second)
				if n := f.script.closed.Load(); n != 0 {
					t.Fatalf("%d views given back too early", n)
				}
				f.script.pinned.Store(tc.pinned)
				f.script.kept.Store(tc.kept)
				pass(3 * time.Second)
				if n := f.script.closed.Load(); n != 2 {
					t.Errorf("%d views given back under a blocked write, want 2", n)
				}
				all, err := readAll(c)
				if !isEnd(err) {
					t.Errorf("end: %v", err)
				}
				want := []got{
					{Type: dhcpv6.MessageLeasequeryDone, ID: 1, Status: "QueryTerminated"},
					{Type: dhcpv6.MessageLeasequeryDone, ID: 2, Status: "QueryTerminated"},
				}
				if diff := cmp.Diff(want, all[len(all)-2:]); diff != "" {
					t.Errorf("last messages (-want +got):\n%s", diff)
				}
				if slices.ContainsFunc(all[:len(all)-2], func(g got) bool { return g.Type == dhcpv6.MessageLeasequeryDone }) {
					t.Error("a LEASEQUERY-DONE before the end")
				}
				f.stop(t)
			})
		})
	}
}
