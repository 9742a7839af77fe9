package kea

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// dial is a connection to a rig's listener, that is closed at the end.
func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := (&net.Dialer{}).DialContext(r.ctx, "tcp", strings.TrimSuffix(strings.TrimPrefix(r.url, "http://"), "/"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		r.t.Fatal(err)
	}
	return c
}

func wholeRequest(body string) string {
	return fmt.Sprintf("POST / HTTP/1.1\r\nHost: 192.0.2.2\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n%s", len(body), body)
}

// isClosed tells whether the listener closes a connection.
func isClosed(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, io.EOF) || strings.Contains(fmt.Sprint(err), "reset")
}

// TestConnectionsAreBounded: of too many, the oldest that has sent no command is closed. Kea's stay, and new ones of Kea's come in.
func TestConnectionsAreBounded(t *testing.T) {
	r := start(t, ServerConfig{now: recordedNow})
	kea := r.dial()
	answers := bufio.NewReader(kea)
	say := func(i int) {
		t.Helper()
		if _, err := io.WriteString(kea, wholeRequest(bulk([]map[string]any{someLease(i, nil)}, nil))); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	say(0)
	var idle []net.Conn
	for range pushConns + 9 {
		idle = append(idle, r.dial())
	}
	for i := range 10 {
		if !isClosed(idle[i]) {
			t.Errorf("connection %d is open", i)
		}
	}
	say(1)
	if reply := r.post(bulk([]map[string]any{someLease(2, nil)}, nil)); reply.result != 0 {
		t.Error(reply)
	}
	if !isClosed(idle[10]) {
		t.Error("nobody made room for the new one")
	}
	if got := r.server.Totals(); got.Turned != 11 {
		t.Errorf("%+v", got)
	}
}

// TestWhoeverIsRefusedIsClosed: nobody keeps connections open by asking for what is refused.
func TestWhoeverIsRefusedIsClosed(t *testing.T) {
	r := start(t, ServerConfig{now: recordedNow, PushUser: "kea", PushPassword: "secret"})
	for _, request := range []string{wholeRequest(bulk(nil, nil)), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"} {
		c := r.dial()
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 401 ") {
			t.Errorf("%q, %v", answer, err)
		}
	}
}

// TestPipelinedRequests are answered and applied in their order.
func TestPipelinedRequests(t *testing.T) {
	r := start(t, ServerConfig{now: recordedNow})
	c := r.dial()
	const n = 20
	var all strings.Builder
	for i := range n {
		all.WriteString(wholeRequest(bulk([]map[string]any{someLease(0, map[string]any{"iaid": i})}, nil)))
	}
	if _, err := io.WriteString(c, all.String()); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(c)
	for i := range n {
		response, err := http.ReadResponse(answers, nil)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("answer %d: %v, %v", i, response, err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
	}
	for _, l := range r.sink.leases {
		if l.GetIaid() != n-1 {
			t.Errorf("%v", l)
		}
	}
}

// TestRubbishIsNotSentBack: a request that is all small bad leases is counted, and answered in few words.
func TestRubbishIsNotSentBack(t *testing.T) {
	r := start(t, ServerConfig{now: recordedNow})
	const n = 50_000
	text := `{"command":"lease6-bulk-apply","arguments":{"leases":[` + strings.Repeat("7,", n)
	text += strings.SplitAfter(bulk([]map[string]any{someLease(0, nil)}, nil), `"leases":[`)[1]
	reply := r.post(text)
	if reply.result != 0 || len(reply.failed) != failedMost || len(reply.raw) > 200*failedMost || !strings.Contains(reply.text, "50000 cannot be used") {
		t.Errorf("result %d, %d failed, %d octets: %.300s", reply.result, len(reply.failed), len(reply.raw), reply.raw)
	}
	if got := r.server.Totals(); got.Refused != n || len(r.sink.leases) != 1 {
		t.Errorf("%+v, %d leases", got, len(r.sink.leases))
	}
}

// TestLongRequestsWaitForEachOther, and short ones do not wait for them.
func TestLongRequestsWaitForEachOther(t *testing.T) {
	r := start(t, ServerConfig{now: recordedNow})
	long := wholeRequest(bulk([]map[string]any{someLease(0, map[string]any{"comment": strings.Repeat("x", 2*pushSmall)})}, nil))
	var begun []net.Conn
	for range pushLarge {
		c := r.dial()
		if _, err := io.WriteString(c, long[:len(long)-1]); err != nil {
			t.Fatal(err)
		}
		begun = append(begun, c)
	}
	until(t, "all places are taken", func() bool { return len(r.server.large) == pushLarge })
	waits := r.dial()
	if _, err := io.WriteString(waits, long); err != nil {
		t.Fatal(err)
	}
	if reply := r.post(bulk([]map[string]any{someLease(1, nil)}, nil)); reply.result != 0 {
		t.Error(reply)
	}
	for _, c := range append(begun, waits) {
		if c != waits {
			if _, err := io.WriteString(c, long[len(long)-1:]); err != nil {
				t.Fatal(err)
			}
		}
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", response, err)
		}
	}
	until(t, "all places are free", func() bool { return len(r.server.large) == 0 })
}

// pipes is a listener within a bubble.
type pipes struct {
	net.Listener
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

func (pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestSlowPeersAreEnded: whoever sends its request octet by octet has its time, and no more; what it may have lost is made good.
func TestSlowPeersAreEnded(t *testing.T) {
	whole := wholeRequest(bulk([]map[string]any{someLease(0, nil)}, nil))
	header := strings.Index(whole, "{")
	for _, tc := range []struct {
		name string
		at   int // octets that come at once
		most time.Duration
		miss bool
	}{{"in the header", 0, pushHeader, false}, {"in the body", header, pushRead, true}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := pipes{conns: make(chan net.Conn), done: make(chan struct{})}
				s, err := NewServer(ServerConfig{Push: l})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				served := make(chan error)
				go func() { served <- s.Serve(ctx) }()
				ours, theirs := net.Pipe()
				l.conns <- theirs
				began := time.Now()
				wrote := make(chan struct{})
				go func() {
					defer close(wrote)
					_, err := io.WriteString(ours, whole[:tc.at])
					for i := tc.at; err == nil && i < len(whole); i++ {
						_, err = io.WriteString(ours, whole[i:i+1])
						<-time.After(time.Second)
					}
				}()
				_, _ = io.Copy(io.Discard, ours)
				if took := time.Since(began); took > tc.most+time.Second {
					t.Errorf("ended after %v", took)
				}
				ours.Close()
				<-wrote
				if s.breaker.gaping() != tc.miss {
					t.Errorf("missed: %v", !tc.miss)
				}
				cancel()
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestTornRequestIsMadeGoodAtOnce, although nothing else is pushed; many of them cost no more than one statement now and then.
func TestTornRequestIsMadeGoodAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewServer(ServerConfig{Leases: "x"})
		if err != nil {
			t.Fatal(err)
		}
		s.recent = newRecent(false, true)
		w := newWayRun(false, false)
		w.way = quiet{}
		s.ways = []*wayRun{w}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- newPump(s, newClusterSink(time.Now)).run(ctx) }()
		synctest.Wait()
		began := time.Now()
		s.miss()
		<-w.ring
		if took := time.Since(began); took != 0 {
			t.Errorf("asked for after %v", took)
		}
		for range 100 {
			s.miss()
			synctest.Wait()
		}
		<-w.ring
		if took := time.Since(began); took != mendPause {
			t.Errorf("asked for again after %v", took)
		}
		<-time.After(2 * mendPause)
		if len(w.ring) != 0 {
			t.Error("asked for without need")
		}
		cancel()
		<-done
	})
}
