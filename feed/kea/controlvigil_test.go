package kea

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestWhatHAStatesLack(t *testing.T) {
	for _, tc := range []struct {
		states string // one after the other; ! behind one: its partner does not answer
		lacks  bool
	}{
		{"", false}, {"hot-standby", false}, {"load-balancing", false}, {"hot-standby!", true}, {"load-balancing!", true}, {"passive-backup", false},
		{"passive-backup!", false}, {"partner-down!", false}, {"partner-in-maintenance", false}, {"in-maintenance", true}, {"waiting", true},
		{"syncing", true}, {"ready", true}, {"communication-recovery", true}, {"terminated", true}, {"backup", true}, {"unavailable", true},
		{"a state of tomorrow", true}, {"-", true},
		{"waiting partner-down", true}, {"waiting syncing partner-down!", true}, {"waiting syncing ready partner-down", false},
		{"waiting hot-standby partner-down", false}, {"waiting partner-down terminated", true},
		{"waiting syncing ready load-balancing", false},
	} {
		v := newVigil(nil)
		lacking := ""
		for _, s := range strings.Fields(strings.ReplaceAll(tc.states, "a state of tomorrow", "tomorrow")) {
			state, interrupted := strings.CutSuffix(s, "!")
			switch state {
			case "-":
				state = ""
			}
			lacking = v.weigh(health{pairs: []pairing{{state, interrupted}}})
		}
		if (lacking != "") != tc.lacks {
			t.Errorf("%q: lacks %q, want %v", tc.states, lacking, tc.lacks)
		}
	}
	if newVigil(nil).weigh(health{pairs: []pairing{{state: "hot-standby"}, {state: "syncing"}}}) == "" {
		t.Error("one of two relationships lacks leases")
	}
}

// statusKea answers status-get and ha-heartbeat with texts that a test sets; an empty one is forbidden, "-" is not known.
type statusKea struct{ status, heartbeat atomic.Value }

func (s *statusKea) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	text, _ := s.status.Load().(string)
	if strings.Contains(string(body), "ha-heartbeat") {
		text, _ = s.heartbeat.Load().(string)
	}
	switch text {
	case "":
		w.WriteHeader(http.StatusForbidden)
	case "-":
		io.WriteString(w, `[{"result":2,"text":"not supported"}]`)
	default:
		fmt.Fprintf(w, `[{"result":0,"arguments":%s}]`, text)
	}
}

// uptime is what a Kea that began then says of it. Whoever says the same number of seconds for ever begins anew every second.
func uptime(began time.Time) int64 { return int64(time.Since(began) / time.Second) }

func TestVigil(t *testing.T) {
	kea := &statusKea{}
	server := httptest.NewServer(kea)
	defer server.Close()
	v := newVigil(newTestControl(t, ControlConfig{URL: server.URL}))
	status := func(pid, up, reload int, state string) string {
		return fmt.Sprintf(`{"pid":%d,"uptime":%d,"reload":%d,"high-availability":[{"ha-mode":"hot-standby","ha-servers":{"local":{"state":%q},"remote":{}}}]}`, pid, up, reload, state)
	}
	for i, step := range []struct {
		status, heartbeat string
		news, lacking     string
		fails             bool
	}{
		{status(1, 1000, 500, "hot-standby"), "", "", "", false},
		{status(1, 1000, 500, "hot-standby"), "", "", "", false},
		{status(2, 1000, 500, "hot-standby"), "", "restarted", "", false},
		{status(2, 3, 3, "waiting"), "", "restarted", "waiting", false}, // the same pid, in a container
		{status(2, 3, 3, "syncing"), "", "", "syncing", false},
		{status(2, 3, 3, "hot-standby"), "", "all leases again", "", false},
		{strings.Replace(status(2, 3, 3, "hot-standby"), `"remote":{}`, `"remote":{"last-state":"unavailable"}`, 1), "", "", "does not answer", false},
		{strings.Replace(status(2, 3, 3, "hot-standby"), `"remote":{}`, `"remote":{"communication-interrupted":true}`, 1), "", "", "does not answer", false},
		{status(2, 3, 3, "partner-down"), "", "all leases again", "", false},
		{status(3, 3, 3, "partner-down"), "", "restarted", "without its partner's leases", false},
		{status(3, 3, 3, "hot-standby"), "", "all leases again", "", false},
		{status(3, 3, 3, "partner-down"), "", "", "", false},
		{status(2, 3, 3, "passive-backup"), "", "restarted", "", false},
		{status(2, 3, 0, "hot-standby"), "", "configuration anew", "", false},
		{`[]`, "", "", "", true},
		{status(2, 3, 0, "hot-standby"), "", "", "", false},
		{`{"pid":2,"uptime":-5,"reload":99999999999999}`, "", "restarted", "", false},
		{"", `{"state":"backup"}`, "", "backup", false},
		{"-", `{"state":"load-balancing"}`, "all leases again", "", false},
		{"", "-", "", "", false},              // no HA hook
		{"", "", "", "does not tell", false},  // nothing may be asked
		{"", `{"state":7}`, "", "tell", true}, // lacking stays
		{"-", `{"state":"ready"}`, "", "ready", false},
	} {
		kea.status.Store(step.status)
		kea.heartbeat.Store(step.heartbeat)
		v.away = false
		news, err := v.look(t.Context())
		if (err != nil) != step.fails || v.away != step.fails {
			t.Fatalf("step %d: error %v, away %v", i, err, v.away)
		}
		if !strings.Contains(news, step.news) || (step.news == "") != (news == "") {
			t.Errorf("step %d: news %q, want %q", i, news, step.news)
		}
		if !strings.Contains(v.lacking, step.lacking) || (step.lacking == "") != (v.lacking == "") {
			t.Errorf("step %d: lacking %q, want %q", i, v.lacking, step.lacking)
		}
	}
}

// TestVigilOfAServerThatIsBehind: it has begun again and waits for what its partner gave meanwhile.
func TestVigilOfAServerThatIsBehind(t *testing.T) {
	kea := &statusKea{}
	server := httptest.NewServer(kea)
	defer server.Close()
	v := newVigil(newTestControl(t, ControlConfig{URL: server.URL}))
	for i, step := range []struct {
		state  string
		behind bool
		news   string
	}{
		{"waiting", true, ""}, {"syncing", true, ""}, {"ready", false, "Kea answers clients again"}, {"hot-standby", false, "Kea has all leases again"},
		{"waiting", true, ""}, {"partner-down", false, "Kea answers clients again"}, {"partner-down", false, ""},
		{"syncing", true, ""}, {"load-balancing", false, "Kea has all leases again"}, {"terminated", false, ""},
	} {
		kea.status.Store("-")
		kea.heartbeat.Store(fmt.Sprintf(`{"state":%q}`, step.state))
		news, err := v.look(t.Context())
		if err != nil || v.behind != step.behind || news != step.news {
			t.Errorf("step %d, %s: behind %v, news %q, error %v", i, step.state, v.behind, news, err)
		}
	}
}

func TestSpansTellOnlyWhatIsSure(t *testing.T) {
	at := time.Unix(1000, 0)
	// A process of 10.0 to 10.99 s: seen within 0.3 s, and again 5 s later.
	first, later := spanOf(at, at.Add(300*time.Millisecond), 10), spanOf(at.Add(5*time.Second), at.Add(5300*time.Millisecond), 16)
	if first.after(later) || later.after(first) {
		t.Errorf("%v and %v may be the same", first, later)
	}
	if young := spanOf(at.Add(5*time.Second), at.Add(5300*time.Millisecond), 3); !young.after(first) {
		t.Errorf("%v is later than %v", young, first)
	}
}

func TestCircle(t *testing.T) {
	for _, tc := range []struct {
		tail, round int // cursors before the circle, and in it; 0: there is none
	}{{0, 1}, {0, 2}, {1, 1}, {3, 7}, {100, 1}, {100, 33}, {1000, 0}} {
		c, last, steps := newCircle(), firstPage, 0
		for ; steps < 1000; steps++ {
			n := steps
			if tc.round > 0 && n >= tc.tail {
				n = tc.tail + (n-tc.tail)%tc.round
			}
			next := fmt.Sprint(n)
			if !c.advance(last, next) {
				break
			}
			last = next
		}
		if noticed := steps < 1000; noticed != (tc.round > 0) || steps > 4*(tc.tail+tc.round)+4 {
			t.Errorf("%+v: %d steps", tc, steps)
		}
	}
}

func TestWalkInACircle(t *testing.T) {
	var pages atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), "lease6-get-page") {
			io.WriteString(w, `{"result":2}`)
			return
		}
		n := pages.Add(1) % 3
		fmt.Fprintf(w, `{"result":0,"arguments":{"leases":[%s]}}`, strings.Replace(leaseText, "2001:db8:a100::", fmt.Sprintf("2001:db8:a10%d::", n), 1))
	}))
	defer server.Close()
	b := &book{}
	w, _ := follow(t, walkConfig{control: newTestControl(t, ControlConfig{URL: server.URL}), page: 1}, b)
	until(t, "trouble tells of the circle", func() bool { return strings.Contains(w.trouble(), "circle") })
	if get(b, func() int { return b.ends }) != 0 {
		t.Error("the statement ended")
	}
}
