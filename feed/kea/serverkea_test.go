package kea

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// inForce is what lease6-get-all says of leases in force, in the words of the cluster's set.
func (k *keaProcess) inForce() map[string]string {
	k.t.Helper()
	var content struct{ Leases []pageLease }
	k.must("lease6-get-all", nil, &content)
	out := map[string]string{}
	for _, l := range content.Leases {
		if l.State != 0 || l.Valid == 0 {
			continue
		}
		bits := uint32(128)
		if l.Type == "IA_PD" {
			bits = l.PrefixLen
		}
		out[l.Address] = fmt.Sprintf("/%d %s iaid %d valid %d preferred %d cltt %d subnet %d hops %d", bits, strings.ReplaceAll(l.DUID, ":", ""), l.IAID, l.Valid,
			l.Preferred, uint32(l.CLTT), l.SubnetID, len(l.Context.ISC.Relays)+len(l.Context.ISC.RelayInfo))
	}
	return out
}

// TestServerBesideARealKea goes through what an operator does to a Kea, and holds the cluster against lease6-get-all after each step: by
// the lease file with Kea's socket beside it, by the file alone, and by pages alone.
func TestServerBesideARealKea(t *testing.T) {
	for _, way := range []string{"file and control", "file", "pages"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			k := newKea(t, nil)
			k.start()
			k.addMany(0, 250)
			var config ServerConfig
			if way != "pages" {
				config.Leases, config.KeaConfig = filepath.Join(k.dir, "leases.csv"), filepath.Join(k.dir, "kea-dhcp6.conf")
			}
			if way != "file" {
				config.Control, config.Page = newTestControl(t, ControlConfig{URL: k.socket}), 100
			}
			if way == "pages" {
				config.Resync = time.Second
			}
			r := start(t, config)
			same := func(step string) {
				t.Helper()
				want := k.inForce()
				var got map[string]string
				ok := func() bool { got = r.sink.set(); return maps.Equal(want, got) }
				limit := time.Now().Add(time.Minute)
				until(t, step, func() bool { return ok() || time.Now().After(limit.Add(-2*time.Second)) })
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("after %s (-Kea +cluster): %.2000s", step, diff)
				}
			}
			same("the beginning")
			k.addMany(200, 100)
			same("adding and renewing")
			for _, i := range []int{5, 8, 205} {
				k.must("lease6-del", map[string]any{"ip-address": madeLease(i)["ip-address"], "type": "IA_NA"}, nil)
			}
			same("lease6-del")
			other := madeLease(6)
			other["duid"], other["iaid"] = "00:03:00:01:aa:bb:cc:dd:ee:ff", 77
			k.must("lease6-update", with(other, "force-create", true), nil)
			same("another client has the address")
			k.must("lease6-wipe", map[string]any{"subnet-id": 1}, nil)
			same("lease6-wipe")
			k.addMany(1000, 150)
			same("adding anew")
			k.stop()
			if way == "pages" {
				until(t, "trouble while Kea is away", func() bool { return r.server.Condition().Trouble != "" })
			}
			k.start()
			k.addMany(2000, 20)
			same("a restart")
			until(t, "no trouble", func() bool { return r.server.Condition().Trouble == "" })
			if got := r.server.Condition(); got.Refused != 0 {
				t.Errorf("%+v", got)
			}
			if err := r.sink.has(r.ctx, func() bool { return r.sink.links["1"] || len(r.sink.links) >= 2 }); err != nil {
				t.Errorf("links %v", r.sink.links)
			}
		})
	}
}

func with(l map[string]any, name string, value any) map[string]any {
	l = maps.Clone(l)
	l[name] = value
	return l
}

// TestTornLineIsMadeGoodByKea: Kea has been cut off in the middle of a line, and glues the next to it. Its memory knows both leases
// of the time after.
func TestTornLineIsMadeGoodByKea(t *testing.T) {
	t.Parallel()
	k := newKea(t, nil)
	k.start()
	k.addMany(0, 30)
	path := filepath.Join(k.dir, "leases.csv")
	r := start(t, ServerConfig{Leases: path, Control: newTestControl(t, ControlConfig{URL: k.socket})})
	until(t, "the beginning", func() bool { return maps.Equal(k.inForce(), r.sink.set()) })
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("2001:db8:1::77,00:01:00"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	k.add(madeLease(100))
	k.add(madeLease(102))
	until(t, "Kea's memory", func() bool { return maps.Equal(k.inForce(), r.sink.set()) })
	// Kea may have been asked before the line was read.
	until(t, "one line is refused", func() bool { return r.server.Condition().Refused == 1 })
}
