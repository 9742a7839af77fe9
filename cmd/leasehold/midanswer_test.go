//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// paced is a connection whose reader takes its time: a kilobyte each tick.
type paced struct {
	net.Conn
	tick *time.Ticker
}

func (p paced) Read(b []byte) (int, error) {
	<-p.tick.C
	return p.Conn.Read(b[:min(len(b), 1024)])
}

// bare dials without keepalive, without a user timeout and with a small buffer: a relay that relies on TCP alone.
func (r *failoverRig) bare(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if failed := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) }); failed != nil {
			err = failed
		}
		return err
	}}
	return r.Relay.Dial(ctx, d, "tcp", r.Server)
}

// bareConn is a bare connection for queries; tick paces its reader, if it is not nil.
func (r *failoverRig) bareConn(t testing.TB, tick *time.Ticker) *requestor.Conn {
	t.Helper()
	c, err := requestor.Dial(deadline(t, time.Minute), r.Server, requestor.Config{ClientID: newDUID(), Dial: func(ctx context.Context, _ string) (net.Conn, error) {
		c, err := r.bare(ctx)
		if err == nil && tick != nil {
			c = paced{c, tick}
		}
		return c, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // it has failed, or the test is over
	return c
}

// sight is what a relay saw of its connection, and when.
type sight struct {
	what string
	at   time.Time
}

// seen says what an error of a connection is to a relay.
func seen(err error) sight {
	var status *requestor.StatusError
	what := fmt.Sprint(err)
	switch {
	case err == nil:
		what = "complete"
	case errors.As(err, &status):
		what = fmt.Sprintf("%v, then the end", status.Status)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		what = "reset"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		what = "silence"
	case errors.Is(err, io.EOF), errors.Is(err, requestor.ErrIncomplete):
		what = "end"
	}
	return sight{what, time.Now()}
}

// watchers are relays with a connection each to the address: one receives an answer slowly, one has asked nothing and waits, one asks
// a small question again and again. Each tells what it saw at the latest after limit.
func (r *failoverRig) watchers(t *testing.T, limit time.Duration) map[string]<-chan sight {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	out := map[string]<-chan sight{}
	watch := func(name string, f func() error) {
		told := make(chan sight, 1)
		go func() { told <- seen(f()) }()
		out[name] = told
	}
	tick := time.NewTicker(4 * time.Millisecond)
	t.Cleanup(tick.Stop)
	slow, begun := r.bareConn(t, tick), make(chan struct{})
	watch("receives", func() error {
		got := 0
		err := slow.Query(ctx, r.Query, func(*requestor.Client) error {
			if got++; got == 1 {
				close(begun)
			}
			return nil
		})
		if err == nil && got != r.Want {
			t.Errorf("an answer that says it is complete has %d clients, want %d", got, r.Want)
		}
		return err
	})
	select {
	case <-begun:
	case <-ctx.Done():
		t.Fatal("no answer has begun")
	}
	idle, err := r.bare(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { idle.Close() })
	watch("waits", func() error {
		if err := idle.SetReadDeadline(time.Now().Add(limit)); err != nil {
			return err
		}
		_, err := idle.Read(make([]byte, 1))
		return err
	})
	sender, again := r.bareConn(t, nil), time.NewTicker(100*time.Millisecond)
	t.Cleanup(again.Stop)
	question := requestor.Query{Type: dhcpv6.QueryByAddress, Address: netip.MustParseAddr("2001:db8:ffff::1")}
	watch("sends", func() error {
		for {
			err := sender.Query(ctx, question, func(*requestor.Client) error { return nil })
			var status *requestor.StatusError
			if err != nil && (!errors.As(err, &status) || status.Status == dhcpv6.StatusQueryTerminated) {
				return err
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	return out
}

// TestMidAnswer measures what relays see whose connection leads to the node that is killed, frozen, cut off or drained. Whatever
// they see, an answer that says it is complete is. What takes long is left out unless LEASEHOLD_ROUNDS is set.
func TestMidAnswer(t *testing.T) {
	r := startKeepalived(t, "drain.delay=2s", "drain.timeout=2s")
	r.feedRelay(t, 40_000)
	limit := 15 * time.Second
	start := func(n *nsNode) { n.Start() }
	all := []fault{
		{"kill -9", false, func(n *nsNode) { n.Kill() }, start},
		{"drain", false, func(n *nsNode) { n.Signal(syscall.SIGTERM) }, func(n *nsNode) { <-n.Done(); n.Start() }},
		{"SIGSTOP", false, func(n *nsNode) { n.Freeze() }, func(n *nsNode) { n.Thaw() }},
		{"link down", false, func(n *nsNode) { n.Host.LinkDown() }, func(n *nsNode) { n.Host.LinkUp() }},
		{"power off", false, func(n *nsNode) { r.Lab.Isolate(n.Host) }, func(*nsNode) { r.Lab.Heal() }},
	}
	if roundsOf(t, 0) == 0 {
		all = all[:2] // the others wait out timers
	}
	for _, f := range all {
		t.Run(f.name, func(t *testing.T) {
			n := r.prepare(t, f.leader)
			views := r.watchers(t, limit)
			begin := time.Now()
			f.do(n)
			for _, name := range []string{"receives", "waits", "sends"} {
				s := <-views[name]
				t.Logf("a relay that %-8s sees: %s after %v", name, s.what, s.at.Sub(begin).Round(time.Millisecond))
			}
			f.undo(n)
		})
	}
	r.holder(t)
}
