package kea

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatElseAPeerMayAsk(t *testing.T) {
	r := start(t, ServerConfig{now: recordedNow})
	for _, tc := range []struct {
		body   string
		status int
		result int
		has    string // in the answer
	}{
		{`{"command":"list-commands","service":["dhcp6"]}`, 200, 0, `"lease6-bulk-apply"`},
		{`[{"command":"version-get"}]`, 200, 0, `"extended"`},
		{`{"command":"build-report"}`, 200, 0, `"text"`},
		{`{"command":"status-get"}`, 200, 0, `"uptime"`},
		{`{"command":"ha-heartbeat","service":["dhcp6"]}`, 200, 1, `backup`},
		{`{"command":"dhcp-disable","arguments":{"origin":2000,"max-period":60},"service":["dhcp6"]}`, 200, 2, "not supported"},
		{`{"command":"dhcp-enable","arguments":{"origin":2000},"service":["dhcp6"]}`, 200, 2, "not supported"},
		{`{"command":"ha-sync","arguments":{"server-name":"leasehold","max-period":60},"service":["dhcp6"]}`, 200, 2, "not supported"},
		{`{"command":"ha-sync-complete-notify","service":["dhcp6"]}`, 200, 2, "not supported"},
		{`{"command":"ha-maintenance-start"}`, 200, 2, "not supported"},
		{`{"command":"ha-maintenance-notify","arguments":{"cancel":false},"service":["dhcp6"]}`, 200, 2, "not supported"},
		{`{"command":"ha-maintenance-cancel"}`, 200, 2, "not supported"},
		{`{"command":"ha-reset","service":["dhcp6"]}`, 200, 2, "not supported"},
		{`{"command":"ha-scopes","arguments":{"scopes":["a"]}}`, 200, 2, "not supported"},
		{`{"command":"ha-continue"}`, 200, 2, "not supported"},
		{`{"command":"lease6-get-page","arguments":{"from":"start","limit":100},"service":["dhcp6"]}`, 200, 2, "not supported"},
		{`{"command":"lease6-get-all"}`, 200, 2, "not supported"},
		{`{"command":"lease6-wipe","arguments":{"subnet-id":1}}`, 200, 2, "not supported"},
		{`{"command":"config-get"}`, 200, 2, "not supported"},
		{`{"command":"` + strings.Repeat("x", 500) + `"}`, 200, 2, "not supported"},
		{`{"command":"lease6-bulk-apply"}`, 200, 1, "no arguments"},
		{`{"command":"lease6-bulk-apply","arguments":{}}`, 200, 0, "0 IPv6 leases"},
		{`{"command":"lease6-bulk-apply","arguments":[]}`, 200, 1, "lease6-bulk-apply"},
		{`{"command":"lease6-bulk-apply","arguments":{"leases":{}}}`, 200, 1, "leases"},
		{`{"command":"lease6-bulk-apply","arguments":{"leases":[7,null,"x",[]]}}`, 200, 0, "leases[3]"},
		{`{"command":"lease6-add","arguments":{"ip-address":"2001:db8::1","duid":"01:02:03","iaid":7,"valid-lft":100,"preferred-lft":50}}`, 200, 0, "added"},
		{`{"command":"lease6-update","arguments":{"ip-address":"2001:db8::1","duid":"01:02:03","iaid":8,"valid-lft":100,"preferred-lft":50}}`, 200, 0, "updated"},
		{`{"command":"lease6-add","arguments":{"duid":"01:02:03","iaid":7,"valid-lft":100,"preferred-lft":50}}`, 200, 1, "ip-address"},
		{`{"command":"lease6-del","arguments":{"ip-address":"2001:db8::1"}}`, 200, 0, "deleted"},
		{`{"command":"lease6-del","arguments":{"ip-address":"2001:db8::","type":"IA_PD"}}`, 200, 1, "prefix-len"},
		{`{"command":"lease6-del","arguments":7}`, 200, 1, "not a lease"},
		{`{}`, 400, 1, "without a command"},
		{`[]`, 400, 1, "list of 0"},
		{`[{"command":"a"},{"command":"b"}]`, 400, 1, "list of 2"},
		{`{"command":7}`, 400, 1, "JSON"},
		{``, 400, 1, "JSON"},
		{`nonsense`, 400, 1, "JSON"},
		{strings.Repeat("[", 100000), 400, 1, "JSON"},
	} {
		reply := r.post(tc.body)
		if reply.status != tc.status || reply.result != tc.result || !strings.Contains(reply.raw, tc.has) || len(reply.raw) > 1000 {
			t.Errorf("%.100s: status %d, result %d, %.1000s", tc.body, reply.status, reply.result, reply.raw)
		}
	}
	if len(r.sink.leases) != 0 || len(r.sink.ends) != 1 {
		t.Errorf("leases %v, ends %v", r.sink.leases, r.sink.ends)
	}
	if got := r.server.Totals().Unread; got != 7 {
		t.Errorf("%d requests unread", got)
	}
}

func TestOnlyPostIsAnswered(t *testing.T) {
	r := start(t, ServerConfig{now: recordedNow})
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodOptions, "BREW"} {
		q, err := http.NewRequestWithContext(t.Context(), method, r.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := r.client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != http.MethodPost {
			t.Errorf("%s: %s", method, response.Status)
		}
	}
}

func TestTooLargeARequest(t *testing.T) {
	r := start(t, ServerConfig{now: recordedNow})
	if reply := r.post(strings.Repeat(" ", pushOctets) + bulk(nil, nil)); reply.status != http.StatusRequestEntityTooLarge {
		t.Errorf("%+v", reply)
	}
	if reply := r.post(bulk([]map[string]any{someLease(0, nil)}, nil)); reply.result != 0 || len(r.sink.leases) != 1 {
		t.Errorf("after it: %+v", reply)
	}
}

func TestBasicAuthentication(t *testing.T) {
	r := start(t, ServerConfig{now: recordedNow, PushUser: "kea", PushPassword: "secret"})
	for _, tc := range []struct {
		user, password string
		want           int
	}{{"kea", "secret", 200}, {"kea", "Secret", 401}, {"kea", "", 401}, {"", "secret", 401}, {"keas", "ecret", 401}, {"", "", 401}} {
		reply, err := post(t.Context(), r.client, r.url, bulk([]map[string]any{someLease(0, nil)}, nil), func(q *http.Request) {
			if tc.user+tc.password != "" {
				q.SetBasicAuth(tc.user, tc.password)
			}
		})
		if err != nil || reply.status != tc.want || (reply.status == 401) != (reply.result == 401) {
			t.Errorf("%s %s: %+v, %v", tc.user, tc.password, reply, err)
		}
	}
	if got := r.server.Totals().Pushed; got != 1 {
		t.Errorf("%d leases were taken", got)
	}
}

// TestOneWritePerAnswer: header and body in two segments would cost Kea 40 ms each (Nagle and delayed acknowledgements).
func TestOneWritePerAnswer(t *testing.T) {
	l := &countingListener{Listener: listen(t), writes: make(chan int, 100)}
	r := start(t, ServerConfig{now: recordedNow, Push: l})
	for i := range 3 {
		reply := r.post(bulk([]map[string]any{someLease(i, nil), someLease(i+10, map[string]any{"duid": 7})}, nil))
		if reply.result != 0 || len(l.writes) != 1 {
			t.Fatalf("%+v in %d writes", reply, len(l.writes))
		}
		if n := <-l.writes; n < len(reply.raw) {
			t.Errorf("a write of %d octets", n)
		}
	}
}

type countingListener struct {
	net.Listener
	writes chan int
}

type countingConn struct {
	net.Conn
	writes chan int
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countingConn{c, l.writes}, nil
}

func (c *countingConn) Write(b []byte) (int, error) {
	c.writes <- len(b)
	return c.Conn.Write(b)
}

// TestBreaker: after a push that was not acknowledged in time others are not held for long, nothing is lost, and the first
// acknowledgement ends it. Kea's 10 s pass in a bubble.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewServer(ServerConfig{Leases: "x"})
		if err != nil {
			t.Fatal(err)
		}
		s.recent = newRecent(false, false)
		sink := newClusterSink(time.Now)
		sink.comesBack(false)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- newPump(s, sink).run(ctx) }()
		h := &pushHandler{server: s, ending: ctx.Done()}
		lease := func(i int) []row {
			r := leaseRow(byte(i), time.Now().Unix())
			r.iaid = uint32(i)
			return []row{r}
		}
		for _, tc := range []struct{ most time.Duration }{{pushHold}, {pushHoldShort}, {pushHoldShort}} {
			began := time.Now()
			if why := h.submit(lease(1), 100, began, 1); why == "" || time.Since(began) != tc.most || tc.most >= 10*time.Second {
				t.Errorf("%q after %v, want an error after %v", why, time.Since(began), tc.most)
			}
		}
		go func() {
			<-time.After(time.Millisecond)
			sink.comesBack(true)
		}()
		if why := h.submit(lease(2), 100, time.Now(), 1); why != "" {
			t.Error(why)
		}
		synctest.Wait()
		if s.breaker.tripped() {
			t.Error("the breaker is open after an acknowledgement")
		}
		if n := s.queue.rows; n != 0 {
			t.Errorf("%d rows are not let go of", n)
		}
		if got := s.Totals().Late; got != 3 {
			t.Errorf("%d requests were late", got)
		}
		cancel()
		<-done
	})
}

// TestWhatThereIsNoRoomForIsMadeGood: a push that cannot be kept is refused at once, and a full statement asked for when the cluster
// is back.
func TestWhatThereIsNoRoomForIsMadeGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewServer(ServerConfig{Leases: "x"})
		if err != nil {
			t.Fatal(err)
		}
		s.recent = newRecent(false, true)
		w := &wayRun{way: quiet{}, ring: make(chan struct{}, 1), chunks: make(chan chunk)}
		s.ways = []*wayRun{w}
		sink := newClusterSink(time.Now)
		sink.comesBack(false)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- newPump(s, sink).run(ctx) }()
		h := &pushHandler{server: s, ending: ctx.Done()}
		many := make([]row, heldMost)
		for i := range many {
			many[i] = leaseRow('a', time.Now().Unix())
		}
		first := make(chan string)
		go func() { first <- h.submit(many, 100, time.Now(), 1) }()
		synctest.Wait()
		began := time.Now()
		if why := h.submit(many[:1], 100, began, 2); why == "" || time.Since(began) != 0 {
			t.Errorf("%q after %v", why, time.Since(began))
		}
		synctest.Wait()
		if len(w.ring) != 0 {
			t.Error("a statement is asked for while the cluster is away")
		}
		sink.comesBack(true)
		if why := <-first; why != "" {
			t.Error(why)
		}
		<-w.ring
		cancel()
		<-done
	})
}

func TestSkewByPushes(t *testing.T) {
	var c clock
	at := time.Unix(someCLTT, 0)
	if _, ok := c.skew(); ok {
		t.Error("measured before anything came")
	}
	for i, tc := range []struct {
		after time.Duration // since the last
		cltt  int64         // relative to the time of arrival
		want  float64       // seconds
	}{
		{0, -40, -39.5}, // what is kept back ends no lease early: believed at once
		{time.Second, -20, -19.5},
		{time.Second, 100, -19.5},
		{time.Second, 101, 101.5}, // two agree
		{time.Second, 40, 101.5},  // it was kept back for a minute
		{2 * time.Minute, 40, 101.5},
		{2 * time.Minute, 41, 41.5}, // nothing better for a whole span
		{time.Second, 1 << 40, 41.5},
		{time.Second, 120, 41.5},
		{time.Second, 200, 41.5}, // these two do not agree
		{time.Second, 199, 199.5},
		{2 * time.Minute, 0, 199.5},
	} {
		at = at.Add(tc.after)
		c.note(at.Unix()+tc.cltt, at)
		if got, ok := c.skew(); (ok || i > 0) && (!ok || got.Seconds() != tc.want) {
			t.Errorf("%d: %v, want %v s", i, got, tc.want)
		}
	}
}

// TestOneWrongTimeEndsNoOtherLease: a lease of the year 2100 costs only itself.
func TestOneWrongTimeEndsNoOtherLease(t *testing.T) {
	r := start(t, ServerConfig{now: recordedNow})
	r.sink.now = recordedNow
	for i, members := range []map[string]any{nil, {"expire": 4102444800}, {"expire": int64(1) << 62}, nil} {
		if reply := r.post(bulk([]map[string]any{someLease(i, members)}, nil)); reply.result != 0 {
			t.Fatal(reply)
		}
	}
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	for _, i := range []int{0, 3} {
		if r.sink.leases[netip.MustParsePrefix(fmt.Sprintf("2001:db8::%x/128", i+1))] == nil {
			t.Errorf("lease %d is gone: %v", i, r.sink.ends)
		}
	}
}

// TestAgesAreCorrectedBySkew: Kea's clock is an hour ahead. The first push alone is not believed.
func TestAgesAreCorrectedBySkew(t *testing.T) {
	now := time.Now()
	r := start(t, ServerConfig{now: func() time.Time { return now }})
	r.sink.now = func() time.Time { return now }
	for i := range 2 {
		r.post(bulk([]map[string]any{someLease(i, map[string]any{"expire": now.Add(time.Hour).Unix() + 7200})}, nil))
	}
	l := r.sink.leases[netip.MustParsePrefix("2001:db8::2/128")]
	if age := time.Duration(l.GetAgeMs()) * time.Millisecond; l == nil || age.Abs() > time.Second {
		t.Errorf("age %v", age)
	}
	if c := r.server.Condition(); !c.Measured || (c.Skew-time.Hour).Abs() > time.Second || len(r.sink.leases) != 2 {
		t.Errorf("%+v, %d leases", c, len(r.sink.leases))
	}
}
