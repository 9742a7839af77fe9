package kea

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// pagesModel answers lease6-get-page as Kea does, over leases that change, with failures and restarts between pages.
type pagesModel struct {
	mu      sync.Mutex
	leases  map[string]map[string]any
	textual bool // sorted as text, as by an SQL database before 2.4
	exact   bool // an empty last page is result 3
	tell    bool // status-get is allowed
	pid     int
	began   time.Time // for the first time; a restart shows in the pid
	first   int       // pid when the newest first page was asked for
	plan    []string  // what to do at each next page: "", "fail", "drop", "garbage", "forget", "restart", "add", "delete"
	touched map[string]bool
}

func (k *pagesModel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var c recordedCommand
	if json.Unmarshal(body, &c) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case c.Command == "lease6-get-page":
		k.page(w, c.Arguments["from"].(string), int(c.Arguments["limit"].(float64)))
	case c.Command == "status-get" && k.tell:
		up := uptime(k.began)
		fmt.Fprintf(w, `[{"result":0,"arguments":{"pid":%d,"uptime":%d,"reload":%d}}]`, k.pid, up, up)
	default:
		io.WriteString(w, `[{"result":2,"text":"not supported"}]`)
	}
}

// step does the next of the plan; false: the page is not answered.
func (k *pagesModel) step(w http.ResponseWriter) bool {
	if len(k.plan) == 0 {
		return true
	}
	what := k.plan[0]
	k.plan = k.plan[1:]
	switch what {
	case "fail":
		w.WriteHeader(http.StatusInternalServerError)
		return false
	case "drop":
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
		return false
	case "garbage":
		io.WriteString(w, `[{"result":0,"arguments":{"leases":[{"`)
		return false
	case "restart":
		k.pid++
	case "add":
		l := madeLease(5 + 10*(3000+len(k.plan)))
		k.leases[l["ip-address"].(string)] = l
		k.touched[l["ip-address"].(string)] = true
	case "delete":
		for _, a := range slices.Sorted(maps.Keys(k.leases))[:min(1, len(k.leases))] {
			delete(k.leases, a)
			k.touched[a] = true
		}
	}
	return true
}

func (k *pagesModel) page(w http.ResponseWriter, from string, limit int) {
	if from == firstPage {
		k.first = k.pid
	}
	if !k.step(w) {
		return
	}
	less := func(a, b string) bool { return netip.MustParseAddr(a).Less(netip.MustParseAddr(b)) }
	if k.textual {
		less = func(a, b string) bool {
			return strings.ReplaceAll(a, ":", "") < strings.ReplaceAll(b, ":", "") || (strings.ReplaceAll(a, ":", "") == strings.ReplaceAll(b, ":", "") && a < b)
		}
	}
	addresses := slices.Collect(maps.Keys(k.leases))
	sort.Slice(addresses, func(i, j int) bool { return less(addresses[i], addresses[j]) })
	leases := []any{}
	for _, a := range addresses {
		if len(leases) < limit && (from == "start" || less(from, a)) {
			leases = append(leases, k.leases[a])
		}
	}
	result := 0
	if len(leases) == 0 && k.exact {
		result = 3
	}
	json.NewEncoder(w).Encode([]any{map[string]any{"result": result, "arguments": map[string]any{"count": len(leases), "leases": leases}}})
}

func TestWalkAgainstAModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		k := &pagesModel{
			leases: map[string]map[string]any{}, textual: rapid.Bool().Draw(rt, "textual"), exact: rapid.Bool().Draw(rt, "exact"), tell: rapid.Bool().Draw(rt, "tell"),
			pid: 1, began: time.Now(), touched: map[string]bool{},
			plan: rapid.SliceOfN(rapid.SampledFrom([]string{"", "", "", "", "fail", "drop", "garbage", "restart", "add", "delete"}), 0, 6).Draw(rt, "plan"),
		}
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 2000), 0, 40, rapid.ID[int]).Draw(rt, "leases") {
			l := madeLease(i)
			k.leases[l["ip-address"].(string)] = l
		}
		before := maps.Clone(k.leases)
		server := httptest.NewServer(k)
		defer server.Close()
		control := newTestControl(t, ControlConfig{URL: server.URL})
		defer control.Close()
		b := &book{}
		w := newWalk(walkConfig{control: control, page: rapid.IntRange(1, 12).Draw(rt, "size"), pause: func(time.Duration) time.Duration { return 0 }, retry: time.Microsecond})
		if err := w.statement(t.Context(), "a test", b.take); err != nil {
			rt.Fatal(err)
		}
		if b.ends != 1 || b.open || b.disorder != "" {
			rt.Fatalf("%d ends, open %v, %s", b.ends, b.open, b.disorder)
		}
		if restarts := k.pid - 1; k.tell && (b.begins > restarts+1) {
			rt.Fatalf("%d begins, %d restarts", b.begins, restarts)
		} else if !k.tell && b.begins != 1 {
			rt.Fatalf("%d begins of a Kea that tells nothing", b.begins)
		}
		if k.tell && k.first != k.pid {
			rt.Fatal("the statement that ended began before a restart")
		}
		for a, l := range before {
			if _, there := b.leases[a]; !there && !k.touched[a] {
				rt.Fatalf("%s is missed; it was there all the time: %v", a, l["type"])
			}
		}
		for a := range b.leases {
			if before[a] == nil && !k.touched[a] {
				rt.Fatalf("%s was never there", a)
			}
		}
	})
}
