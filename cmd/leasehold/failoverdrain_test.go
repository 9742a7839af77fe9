//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/requestor"
)

// ledger is what a requestor saw that asks all the time and tries again once, at once.
type ledger struct {
	kind          string
	asked         int
	first, second int             // errors of the first try and of the second
	errs          map[string]int  // what they were
	longest       time.Duration   // of an ask, both tries
	tries         []time.Duration // of second tries that were needed
}

// note makes an ask: try is made once, and once more if it fails.
func (l *ledger) note(ctx context.Context, try func() error) {
	begin := time.Now()
	err := try()
	if ctx.Err() != nil {
		return // the test is over; what broke off is no error
	}
	l.asked++
	if err != nil {
		l.first++
		l.errs["first try: "+err.Error()]++
		again := time.Now()
		if err := try(); err != nil && ctx.Err() == nil {
			l.second++
			l.errs["second try: "+err.Error()]++
		}
		l.tries = append(l.tries, time.Since(again))
	}
	l.longest = max(l.longest, time.Since(begin))
}

// String is a line for the log.
func (l *ledger) String() string {
	return fmt.Sprintf("%s: %d asks, %d needed the second try, %d failed it; the longest took %v", l.kind, l.asked, l.first, l.second,
		l.longest.Round(time.Millisecond))
}

// askAnew asks over a new connection each time, until ctx ends.
func (r *failoverRig) askAnew(ctx context.Context, l *ledger) {
	for ctx.Err() == nil {
		l.note(ctx, func() error { return r.ask(ctx, requestor.DefaultDialTimeout) })
	}
}

// askKept asks over one connection as long as it lasts, until ctx ends.
func (r *failoverRig) askKept(ctx context.Context, l *ledger) {
	var conn *requestor.Conn
	drop := func() {
		if conn != nil {
			_ = conn.Close() // it failed, or the test is over
			conn = nil
		}
	}
	defer drop()
	for ctx.Err() == nil {
		l.note(ctx, func() (err error) {
			if conn == nil {
				if conn, err = requestor.Dial(ctx, r.Server, r.requestor(requestor.DefaultDialTimeout)); err != nil {
					return err
				}
			}
			got := 0
			if err = conn.Query(ctx, r.Query, func(*requestor.Client) error { got++; return nil }); err == nil && got != r.Want {
				err = fmt.Errorf("%d clients, want %d", got, r.Want)
			}
			if err != nil {
				drop()
			}
			return err
		})
	}
}

// drain stops the node that the address leads to in order while requestors ask, and starts it again. No requestor that tries again
// once may see an error. It returns how long the address took to leave the node.
func (r *failoverRig) drain(t *testing.T, leader bool) (left time.Duration, ledgers []*ledger) {
	t.Helper()
	n := r.prepare(t, leader)
	ctx, cancel := context.WithCancel(deadline(t, time.Minute))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	for _, a := range []struct {
		kind string
		ask  func(context.Context, *ledger)
	}{{"a connection for each query", r.askAnew}, {"one connection kept", r.askKept}} {
		l := &ledger{kind: a.kind, errs: map[string]int{}}
		ledgers = append(ledgers, l)
		asking.Go(func() { a.ask(ctx, l) })
	}
	begin := time.Now()
	n.Signal(syscall.SIGTERM)
	until(t, ctx, "the address has left "+n.Name, func() bool { return !r.Holds(t, n) })
	left = time.Since(begin)
	select {
	case <-n.Done():
	case <-time.After(45 * time.Second):
		n.Signal(syscall.SIGQUIT) // so that it says where it hangs
		<-n.Done()
	}
	if err := n.Err(); err != nil {
		t.Fatalf("%s did not stop in order: %v\n%s", n.Name, err, n.Output())
	}
	n.Start()
	r.holder(t)
	cancel()
	asking.Wait()
	return left, ledgers
}

// runDrain drains so many times, for each of leaders: whether the node leads.
func (r *failoverRig) runDrain(t *testing.T, rounds int, leaders ...bool) {
	for _, leader := range leaders {
		t.Run(fmt.Sprintf("drain, leader %t", leader), func(t *testing.T) {
			var left, second []time.Duration
			for range rounds {
				d, ledgers := r.drain(t, leader)
				left = append(left, d)
				for _, l := range ledgers {
					t.Log(l)
					second = append(second, l.tries...)
					if l.second > 0 {
						t.Errorf("%s: errors after one retry: %v", l.kind, l.errs)
					}
					if l.asked == 0 {
						t.Errorf("%s: nothing was asked", l.kind)
					}
				}
			}
			t.Logf("the address left %s; second tries needed: %d, the longest %v", spread(left), len(second), slices.Max(append(second, 0)).Round(time.Millisecond))
		})
	}
}
