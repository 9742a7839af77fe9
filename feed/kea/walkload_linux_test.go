package kea

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// TestPagesBesideClients prints what full statements cost a Kea that serves clients, by the pauses between pages: how long a page and
// a statement take, and what perfdhcp sees of it. Nothing, or another pause, is measured beside it in turns, so that lines of one run
// may be compared. LEASEHOLD_ROUNDS makes it longer, and the database larger, by thousands of leases.
func TestPagesBesideClients(t *testing.T) {
	if _, err := os.Stat("/usr/sbin/perfdhcp"); err != nil {
		t.Skip("needs perfdhcp (Debian package kea-admin)")
	}
	thousands, each, rates := 1, 1, []int{200}
	if n, err := strconv.Atoi(os.Getenv("LEASEHOLD_ROUNDS")); err == nil && n > 0 {
		thousands, each, rates = n, 4, []int{1, 100, 400, 1000}
	}
	lab := netlab.New(t)
	server, generator := lab.Host("kea"), lab.Host("generator")
	k := newKea(t, map[string]any{
		"interfaces-config": map[string]any{"interfaces": []string{netlab.Interface + "/" + server.Addr.String()}},
		"subnet6": []any{
			map[string]any{"id": 1, "subnet": "2001:db8:1::/64"},
			map[string]any{"id": 2, "subnet": "2001:db8:547::/64", "pools": []any{map[string]any{"pool": "2001:db8:547::1:0/112"}}},
		},
	})
	k.path = "ip"
	k.run("netns", "exec", server.Namespace(), keaBinary(t, "kea-dhcp6"), "-c", filepath.Join(k.dir, "kea-dhcp6.conf"))
	k.until("answers commands", func() bool { return k.command("status-get", nil, nil) == nil })
	k.addMany(0, 1000*thousands)
	for _, rate := range rates {
		for i, way := range []struct {
			name  string
			pause func(time.Duration) time.Duration
		}{
			{"no pages", nil},
			{"four times", func(took time.Duration) time.Duration { return min(4*took, longestPause) }},
			{"as it is", nil},
			{"no pages", nil},
			{"once", func(took time.Duration) time.Duration { return took }},
			{"none", func(time.Duration) time.Duration { return 0 }},
			{"as it is", nil},
		} {
			if i > 2 && len(rates) == 1 {
				break
			}
			t.Run(fmt.Sprintf("%d per second, pause: %s", rate, way.name), func(t *testing.T) {
				told := "no statement"
				if way.name != "no pages" {
					told = whileReading(t, walkConfig{control: k.asks(), pause: way.pause}, func() { t.Log(perfdhcp(t, generator, server, rate, each)) })
				} else {
					t.Log(perfdhcp(t, generator, server, rate, each))
				}
				t.Log(told)
			})
		}
	}
}

// whileReading makes statements, one after the other, as long as f runs, and tells how long they took.
func whileReading(t *testing.T, config walkConfig, f func()) string {
	t.Helper()
	b, w := &book{}, newWalk(config)
	done, over := make(chan []time.Duration, 1), make(chan struct{})
	go func() {
		var took []time.Duration
		for {
			began := time.Now()
			if err := w.statement(t.Context(), "a measurement", b.take); err != nil {
				t.Error(err)
			}
			took = append(took, time.Since(began).Round(time.Millisecond))
			select {
			case <-over:
				done <- took
				return
			default:
			}
		}
	}()
	f()
	close(over)
	took := <-done
	slices.Sort(took)
	return fmt.Sprintf("%d statements of %d leases, the middle one in %v", len(took), len(b.leases), took[len(took)/2])
}

// perfdhcp has a generator's clients ask a server for so many seconds, and tells what came of it.
func perfdhcp(t *testing.T, generator, server *netlab.Host, rate, seconds int) string {
	t.Helper()
	out, err := generator.TryRun("perfdhcp", "-6", "-A", "1", "-l", generator.Addr.String(), "-r", fmt.Sprint(rate), "-R", "20000", "-p", fmt.Sprint(seconds), server.Addr.String())
	text := ""
	for _, number := range []string{`Rate: ([0-9.e+-]+) 4-way exchanges/second`, `drops ratio: ([0-9.e+-]+) %`, `avg delay: ([0-9.e+-]+) ms`, `max delay: ([0-9.e+-]+) ms`} {
		m := regexp.MustCompile(number).FindString(out)
		if m == "" {
			t.Fatalf("perfdhcp does not tell %s: %v: %s", number, err, out)
		}
		text += m + "; "
	}
	return text
}
