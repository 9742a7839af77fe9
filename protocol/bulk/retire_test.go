package bulk

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

func TestRetire(t *testing.T) {
	t.Run("an idle connection is closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Config{}, &script{}).start(t)
			c := f.dial()
			synctest.Wait()
			pass(10 * time.Second)
			f.Retire()
			start := time.Now()
			if all, err := readAll(c); len(all) > 0 || !isEnd(err) {
				t.Errorf("idle connection got %v, %v", all, err)
			}
			if d := time.Since(start); d > 0 {
				t.Errorf("closed after %v, want at once: it was idle for longer than a second", d)
			}
			pass(lingerTimeout)
			if n := f.metric(t, MetricClosed, string(endRetired)); n != 1 {
				t.Errorf("%s{%s} = %v, want 1", MetricClosed, endRetired, n)
			}
			f.stop(t)
		})
	})
	t.Run("running answers go on, and the close is right behind them", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Config{}, &script{}).start(t)
			c := f.dial()
			send(t, c, append(ask(1, 5000), ask(2, 10)...))
			synctest.Wait()
			f.Retire()
			pass(time.Minute)
			start := time.Now()
			all, err := readAll(c)
			if len(all) != 5001+11 || !isEnd(err) || all[len(all)-1].Type != dhcpv6.MessageLeasequeryDone {
				t.Errorf("%d messages, the end %v, want 5012 and an end in order", len(all), err)
			}
			if d := time.Since(start); d > 0 {
				t.Errorf("closed %v behind the last message, want at once", d)
			}
			f.stop(t)
		})
	})
	t.Run("newcomers are answered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Config{}, &script{}).start(t)
			f.Retire()
			c := f.dial()
			pass(retireIdle / 2)
			send(t, c, ask(1, 3))
			all, err := readAll(c)
			if diff := cmp.Diff(answered(1, 3), all); diff != "" || !isEnd(err) {
				t.Errorf("answer (-want +got):\n%s\nend: %v", diff, err)
			}
			f.stop(t)
		})
	})
	t.Run("queries that wait for room are answered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Config{MaxQueriesPerConnection: 2}, &script{}).start(t)
			f.Retire()
			c := f.dial()
			var all []byte
			for i := range 6 {
				all = append(all, ask(byte(i+1), 1)...)
			}
			send(t, c, all)
			done := map[byte]bool{}
			got, err := readAll(c)
			for _, g := range got {
				if g.Type == dhcpv6.MessageLeasequeryDone {
					done[g.ID] = true
				}
			}
			if len(done) != 6 || !isEnd(err) {
				t.Errorf("%d queries of 6 were answered, the end %v", len(done), err)
			}
			f.stop(t)
		})
	})
	t.Run("a query that has begun to arrive is answered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Config{}, &script{}).start(t)
			f.Retire()
			c := f.dial()
			first, second := ask(1, 3), ask(2, 3)
			send(t, c, append(first, second[:7]...))
			var all []got
			frames := dhcpv6.NewReader(c, nil)
			for range answered(1, 3) {
				g, err := readOne(frames)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, g)
			}
			synctest.Wait()
			send(t, c, second[7:])
			for range answered(2, 3) {
				g, err := readOne(frames)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, g)
			}
			if diff := cmp.Diff(append(answered(1, 3), answered(2, 3)...), all); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
			if _, err := readOne(frames); !isEnd(err) {
				t.Errorf("after the last answer: %v, want the close", err)
			}
			f.stop(t)
		})
	})
}

func TestNobodyIsAcceptedBeforeItCanAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answering := make(chan struct{})
		f := newFixture(t, Config{Answering: answering}, &script{}).start(t)
		if all, err := readAll(f.dial()); len(all) > 0 || !isEnd(err) {
			t.Errorf("early connection got %v, %v", all, err)
		}
		if n := f.metric(t, MetricRefused, refusedStarting); n != 1 {
			t.Errorf("%s{%s} = %v, want 1", MetricRefused, refusedStarting, n)
		}
		close(answering)
		c := f.dial()
		send(t, c, ask(1, 0))
		if _, err := readOne(dhcpv6.NewReader(c, nil)); err != nil {
			t.Errorf("connection to a server that can answer: %v", err)
		}
		f.stop(t)
	})
}
