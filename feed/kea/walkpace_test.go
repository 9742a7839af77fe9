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

func TestPausesBetweenPages(t *testing.T) {
	var received, asked atomic.Int64 // received: -1 forbidden, -2 not known to Kea
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), `"statistic-get"`) {
			t.Errorf("asked %s", body)
		}
		asked.Add(1)
		switch n := received.Load(); n {
		case -1:
			w.WriteHeader(http.StatusForbidden)
		case -2:
			io.WriteString(w, `[{"result":0,"arguments":{}}]`)
		default:
			fmt.Fprintf(w, `[{"result":0,"arguments":{"pkt6-received":[[%d,"2026-11-25 10:00:00.5"],[%d,"2026-11-25 09:00:00.5"]]}}]`, n, n-1)
		}
	}))
	defer server.Close()
	control := newTestControl(t, ControlConfig{URL: server.URL})
	const page, idle, busy = 10 * time.Millisecond, 2500 * time.Microsecond, 40 * time.Millisecond
	p := &pagePace{control: control}
	expect := func(what string, want time.Duration) {
		t.Helper()
		if got := p.pause(t.Context(), page); got != want {
			t.Errorf("%s, page %d: %v, want %v", what, p.pages, got, want)
		}
	}
	expect("nothing is known", busy)
	for range 2 * idleLook {
		expect("no client speaks", idle)
	}
	received.Add(1)
	for p.pages%idleLook != idleLook-1 {
		expect("not looked yet", idle)
	}
	for range idleLook {
		expect("a client speaks", busy)
	}
	expect("it has gone", idle)
	if got := p.pause(t.Context(), time.Minute); got != longestPause {
		t.Errorf("after a page of a minute: %v", got)
	}
	if n := asked.Load(); n > int64(p.pages/idleLook+2) {
		t.Errorf("asked %d times for %d pages", n, p.pages)
	}
	for _, n := range []int64{-1, -2} {
		received.Store(n)
		asked.Store(0)
		p = &pagePace{control: control}
		for range 3 * idleLook {
			expect("Kea does not tell", busy)
		}
		if asked.Load() != 1 {
			t.Errorf("asked %d times although Kea does not tell", asked.Load())
		}
	}
	received.Store(7)
	p = &pagePace{control: control, served: true}
	for range idleLook {
		expect("an HA partner waits", busy)
	}
	for state, want := range map[string]bool{"passive-backup": false, "hot-standby": true, "partner-down": true, "": true} {
		v := newVigil(nil)
		if v.last.pairs = []pairing{{state: state}}; v.paired() != want {
			t.Errorf("paired in state %q: not %v", state, want)
		}
	}
}
