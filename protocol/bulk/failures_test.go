package bulk

import (
	"errors"
	"net"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// statuses are the messages that carry one.
func statuses(all []got) []got {
	return slices.DeleteFunc(slices.Clone(all), func(g got) bool { return g.Status == "" })
}

func TestFailureEndsEveryAnswerThenTheConnection(t *testing.T) {
	for _, tc := range []struct {
		name   string
		script *script
		first  int // clients of the first query
		want   []got
	}{
		{"before the first reply", &script{failed: true}, 0, []got{ // the answer itself is the status
			{Type: dhcpv6.MessageLeasequeryReply, ID: 2, Status: "QueryTerminated"},
			{Type: dhcpv6.MessageLeasequeryReply, ID: 3, Status: "QueryTerminated"},
		}},
		{"in the middle", &script{failAt: 50}, 100, []got{
			{Type: dhcpv6.MessageLeasequeryDone, ID: 1, Status: "UnspecFail"},
			{Type: dhcpv6.MessageLeasequeryDone, ID: 2, Status: "QueryTerminated"},
			{Type: dhcpv6.MessageLeasequeryDone, ID: 3, Status: "QueryTerminated"},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, Config{}, tc.script).start(t)
				c := f.dial()
				go send(t, c, slices.Concat(ask(1, tc.first), ask(2, 1000), ask(3, 1000)))
				start := time.Now()
				all, err := readAll(c)
				if !isEnd(err) || time.Since(start) != 0 {
					t.Errorf("end: %v after %v, want at once", err, time.Since(start))
				}
				ended := statuses(all)
				slices.SortFunc(ended, func(a, b got) int { return int(a.ID) - int(b.ID) })
				if diff := cmp.Diff(tc.want, ended); diff != "" {
					t.Errorf("statuses (-want +got):\n%s", diff)
				}
				f.stop(t)
			})
		})
	}
}

func TestQueryThatCannotBeBegunEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{}, &script{err: errors.New("no state")}).start(t)
		c := f.dial()
		send(t, c, ask(1, 1))
		all, err := readAll(c)
		want := []got{{Type: dhcpv6.MessageLeasequeryReply, ID: 1, Status: "QueryTerminated"}}
		if diff := cmp.Diff(want, all); diff != "" || !isEnd(err) {
			t.Errorf("answer (-want +got):\n%s\nend: %v", diff, err)
		}
		f.stop(t)
		if n := f.metric(t, MetricRunning, ""); n != 0 {
			t.Errorf("%v queries still counted as running", n)
		}
	})
}

func TestShortFrameEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{}, &script{}).start(t)
		c := f.dial()
		go send(t, c, append(ask(1, 1000), 0, 3, 14, 0, 0))
		all, err := readAll(c)
		want := []got{{Type: dhcpv6.MessageLeasequeryReply, ID: 1, Status: "QueryTerminated"}}
		if len(all) > 1 {
			want[0].Type = dhcpv6.MessageLeasequeryDone
		}
		if diff := cmp.Diff(want, statuses(all)); diff != "" || !isEnd(err) {
			t.Errorf("statuses (-want +got):\n%s\nend: %v", diff, err)
		}
		f.stop(t)
	})
}

func TestDuplicateTransactionIDIsDiscarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{}, &script{}).start(t)
		c := f.dial()
		send(t, c, append(ask(7, 2000), ask(7, 3)...))
		frames := dhcpv6.NewReader(c, nil)
		for _, want := range answered(7, 2000) {
			if g, err := readOne(frames); err != nil || g != want {
				t.Fatalf("got %v, %v, want %v", g, err, want)
			}
		}
		send(t, c, ask(7, 1)) // it is free again
		for _, want := range answered(7, 1) {
			if g, err := readOne(frames); err != nil || g != want {
				t.Fatalf("got %v, %v, want %v", g, err, want)
			}
		}
		if n := f.metric(t, MetricDiscarded, discardDuplicate); n != 1 {
			t.Errorf("%s{%s} = %v, want 1", MetricDiscarded, discardDuplicate, n)
		}
		f.stop(t)
	})
}

func TestDrain(t *testing.T) {
	t.Run("running answers end in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Config{DrainTimeout: time.Minute}, &script{}).start(t)
			idle, c := f.dial(), f.dial()
			send(t, c, ask(1, 5000))
			synctest.Wait()
			f.cancel()
			if _, err := readAll(idle); !isEnd(err) {
				t.Errorf("idle connection: %v", err)
			}
			pass(30 * time.Second)
			all, err := readAll(c)
			if diff := cmp.Diff(answered(1, 5000), all); diff != "" || !isEnd(err) {
				t.Errorf("answer (-want +got):\n%s\nend: %v", diff, err)
			}
			if all, err := readAll(f.dial()); len(all) > 0 || err == nil {
				t.Errorf("newcomer while draining: %v, %v", all, err)
			}
			f.stop(t)
		})
	})
	t.Run("answers that do not end in time are terminated", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Config{DrainTimeout: time.Minute}, &script{}).start(t)
			c := f.dial()
			send(t, c, append(ask(1, 50_000), ask(2, 50_000)...))
			synctest.Wait()
			f.cancel()
			pass(time.Minute + time.Millisecond)
			all, err := readAll(c)
			want := []got{
				{Type: dhcpv6.MessageLeasequeryDone, ID: 1, Status: "QueryTerminated"},
				{Type: dhcpv6.MessageLeasequeryDone, ID: 2, Status: "QueryTerminated"},
			}
			if diff := cmp.Diff(want, all[len(all)-2:]); diff != "" || !isEnd(err) {
				t.Errorf("last messages (-want +got):\n%s\nend: %v", diff, err)
			}
			f.stop(t)
		})
	})
	t.Run("requestors that read nothing do not hold it up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Config{DrainTimeout: time.Minute}, &script{}).start(t)
			send(t, f.dial(), ask(1, 50_000))
			synctest.Wait()
			start := time.Now()
			f.stop(t)
			if got, want := time.Since(start), time.Minute+closeGrace; got != want {
				t.Errorf("stopped after %v, want %v", got, want)
			}
		})
	})
	t.Run("queries that are being begun", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Config{DrainTimeout: time.Minute}, &script{hold: make(chan struct{})}).start(t)
			c := f.dial()
			send(t, c, ask(1, 1))
			synctest.Wait()
			start := time.Now()
			answered := make(chan []got)
			go func() {
				all, _ := readAll(c) // what ends it is the server's close
				answered <- all
			}()
			f.stop(t)
			want := []got{{Type: dhcpv6.MessageLeasequeryReply, ID: 1, Status: "QueryTerminated"}}
			if diff := cmp.Diff(want, <-answered); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if d := time.Since(start); d != time.Minute {
				t.Errorf("stopped after %v, want 1m0s", d)
			}
		})
	})
}

func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{}, &script{}).start(t)
		if err := f.Run(t.Context(), newPipes()); !errors.Is(err, ErrRunning) {
			t.Errorf("second Run: %v, want ErrRunning", err)
		}
		f.stop(t)
	})
}

func TestDrainBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{}, &script{})
		f.Drain(t.Context())
		p := newPipes()
		if err := f.Run(t.Context(), p); err != nil {
			t.Errorf("Run after Drain: %v", err)
		}
		if _, err := p.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("listener after Drain and Run: %v, want it closed", err)
		}
	})
}

// failing is a listener that has no descriptors left for a while.
type failing struct {
	*pipes
	errs chan error
}

func (l failing) Accept() (net.Conn, error) {
	select {
	case err := <-l.errs:
		return nil, err
	default:
		return l.pipes.Accept()
	}
}

func TestAcceptErrorsAreWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{}, &script{})
		l := failing{f.pipes, make(chan error, 20)}
		for range 20 {
			l.errs <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
		}
		start := time.Now()
		go func() { f.ran <- f.Run(t.Context(), l) }()
		c := f.dial()
		if d := time.Since(start); d < 10*time.Second || d > 20*time.Second {
			t.Errorf("20 errors took %v, want pauses of up to a second", d)
		}
		send(t, c, ask(1, 0))
		if _, err := readOne(dhcpv6.NewReader(c, nil)); err != nil {
			t.Error(err)
		}
		if n := f.metric(t, MetricAcceptErrors, ""); n != 20 {
			t.Errorf("%s = %v, want 20", MetricAcceptErrors, n)
		}
		f.Drain(t.Context())
		if err := <-f.ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestListenerClosedByOthersIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{}, &script{}).start(t)
		if err := f.pipes.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-f.ran; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Run: %v, want net.ErrClosed", err)
		}
	})
}
