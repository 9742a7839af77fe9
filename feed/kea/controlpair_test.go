package kea

import (
	"fmt"
	"maps"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newPair makes two Keas of one hot-standby pair, each with the HA hook's own listener, on loopback. The one that is held, if any, stays in
// state waiting until it is told ha-continue.
func newPair(t *testing.T, held int) (keas [2]*keaProcess, urls [2]string) {
	t.Helper()
	names := [2]string{"a", "b"}
	var peers []any
	for i, role := range []string{"primary", "standby"} {
		urls[i] = fmt.Sprintf("http://127.0.0.1:%d/", freePort(t))
		peers = append(peers, map[string]any{"name": names[i], "url": urls[i], "role": role})
	}
	for i := range keas {
		ha := map[string]any{
			"this-server-name": names[i], "mode": "hot-standby", "heartbeat-delay": 300, "max-response-delay": 2000, "max-unacked-clients": 0, "peers": peers,
			"multi-threading": map[string]any{"enable-multi-threading": true, "http-dedicated-listener": true, "http-listener-threads": 2, "http-client-threads": 2},
		}
		if i == held {
			ha["state-machine"] = map[string]any{"states": []any{map[string]any{"state": "waiting", "pause": "once"}}}
		}
		keas[i] = newKea(t, map[string]any{
			"multi-threading": map[string]any{"enable-multi-threading": true},
			"hooks-libraries": []any{
				map[string]any{"library": filepath.Join(hookFolder, "libdhcp_lease_cmds.so")},
				map[string]any{"library": filepath.Join(hookFolder, "libdhcp_ha.so"), "parameters": map[string]any{"high-availability": []any{ha}}},
			},
		})
	}
	return keas, urls
}

// TestWalkOfAPair goes through what an agent beside a standby sees: it begins, fetches its primary's leases, has them all, loses the primary.
func TestWalkOfAPair(t *testing.T) {
	t.Parallel()
	keas, urls := newPair(t, 1)
	primary, standby := keas[0], keas[1]
	primary.start()
	primary.until("serves alone", func() bool {
		var heartbeat struct{ State string }
		return primary.command("ha-heartbeat", nil, &heartbeat) == nil && heartbeat.State == "partner-down"
	})
	primary.addMany(0, 300)
	b := &book{}
	w, _ := follow(t, walkConfig{control: newTestControl(t, ControlConfig{URL: urls[1]}), page: 100}, b)
	until(t, "trouble: the standby is not there", func() bool { return w.trouble() != "" })
	standby.start()
	until(t, "a statement begins", func() bool { return get(b, func() int { return b.begins }) > 0 })
	if !get(b, func() bool { return b.partial || b.begins > 1 }) {
		t.Error("the first statement of a standby that is waiting for its primary's leases claims to be whole")
	}
	standby.must("ha-continue", nil, nil)
	if want, got := primary.all(), b.complete(t, 1); len(want) != 300 || !maps.Equal(want, got) {
		t.Errorf("(-primary +walk of the standby):\n%.3000s", cmp.Diff(want, got))
	}
	if b.partial || !b.linked {
		t.Errorf("partial %v, links known %v", b.partial, b.linked)
	}
	until(t, "it is read again", func() bool { return get(b, func() int { return b.pages }) >= 2*3 })
	ends := get(b, func() int { return b.ends })
	primary.stop()
	// While its partner does not answer and is not yet taken as down, it may lack something; then it has all that is to be had.
	until(t, "a whole statement of the one that is left", func() bool { return get(b, func() int { return b.ends }) > ends })
	var heartbeat struct{ State string }
	if standby.must("ha-heartbeat", nil, &heartbeat); heartbeat.State != "partner-down" {
		t.Errorf("a statement of state %s", heartbeat.State)
	}
}

// TestWalkOfAServerThatNeverSynchronised: it was away, its partner served, and is not there when it comes back.
func TestWalkOfAServerThatNeverSynchronised(t *testing.T) {
	t.Parallel()
	keas, urls := newPair(t, 0)
	b := &book{}
	_, ring := follow(t, walkConfig{control: newTestControl(t, ControlConfig{URL: urls[0]})}, b)
	keas[0].start()
	until(t, "it is seen waiting", func() bool { return get(b, func() int { return b.begins }) > 0 })
	keas[0].must("ha-continue", nil, nil)
	keas[0].until("serves alone", func() bool {
		var heartbeat struct{ State string }
		return keas[0].command("ha-heartbeat", nil, &heartbeat) == nil && heartbeat.State == "partner-down"
	})
	keas[0].addMany(0, 10)
	begins := get(b, func() int { return b.begins })
	ring <- struct{}{}
	until(t, "the leases are stated", func() bool { return get(b, func() bool { return b.begins > begins && len(b.leases) == 10 }) })
	if get(b, func() bool { return !b.partial || b.ends > 0 }) {
		t.Error("its statement claims to be whole")
	}
}
