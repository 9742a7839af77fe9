package kea

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// book is what a consumer of a way makes of it.
type book struct {
	mu       sync.Mutex
	leases   map[string]string // stated by the statement under way, or the last
	whole    map[string]string // as the newest statement that ended left them
	links    []link
	linked   bool
	partial  bool
	open     bool // a statement is under way
	begins   int
	ends     int
	pages    int
	latest   time.Time
	disorder string
	hook     func(page int) // run within the way, after each page of a statement
}

func (b *book) take(ctx context.Context, c chunk) error {
	b.mu.Lock()
	switch {
	case c.begin != nil:
		b.leases, b.links, b.linked, b.partial = map[string]string{}, c.begin.links, c.begin.linked, c.begin.partial
		b.begins, b.open, b.pages = b.begins+1, true, 0
		b.latest = time.Now()
	case c.end:
		b.ends++
		b.open, b.whole = false, maps.Clone(b.leases)
	default:
		if c.asked.Before(b.latest) || c.asked.After(time.Now()) || c.events || len(c.rows) == 0 {
			b.disorder = "a page asked at the wrong time, of events, or empty"
		}
		b.latest = c.asked
		b.pages++
		for _, r := range c.rows {
			b.leases[r.prefix.Addr().String()] = summaryOf(r)
		}
	}
	hook, page := b.hook, b.pages
	b.mu.Unlock()
	if hook != nil && page > 0 && len(c.rows) > 0 {
		hook(page)
	}
	return ctx.Err()
}

// get is a value of the book under its lock.
func get[T any](b *book, f func() T) T {
	b.mu.Lock()
	defer b.mu.Unlock()
	return f()
}

// complete waits until so many statements have ended, and gives what the newest of them had, although another may have begun.
func (b *book) complete(t *testing.T, ends int) map[string]string {
	t.Helper()
	until(t, "a full statement ends", func() bool { return get(b, func() int { return b.ends }) >= ends })
	return get(b, func() map[string]string { return b.whole })
}

// follow runs a walk until the test ends.
func follow(t *testing.T, config walkConfig, b *book) (w *walk, ring chan struct{}) {
	t.Helper()
	if config.pause == nil {
		config.pause = func(time.Duration) time.Duration { return 0 }
	}
	if config.poll == 0 {
		config.poll = 20 * time.Millisecond
	}
	w, ring = newWalk(config), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.read(ctx, ring, b.take) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the walk ended with %v", err)
		}
		if b.disorder != "" {
			t.Error(b.disorder)
		}
	})
	return w, ring
}

func TestWalkEqualsGetAll(t *testing.T) {
	t.Parallel()
	k := newKea(t, nil)
	k.start()
	k.addMany(0, 2000)
	want := k.all()
	if len(want) != 2000 {
		t.Fatalf("Kea has %d leases", len(want))
	}
	for _, size := range []int{100, 250, 1000, 2000, 3000} {
		b := &book{}
		_, _ = follow(t, walkConfig{control: k.asks(), page: size}, b)
		if got := b.complete(t, 1); !maps.Equal(want, got) {
			t.Fatalf("pages of %d (-Kea +walk):\n%.3000s", size, cmp.Diff(want, got))
		}
		names := []string{}
		for _, l := range b.links {
			names = append(names, l.Label)
		}
		if !b.linked || !slices.Equal(names, []string{"subnet 1", "subnet 2"}) || len(b.links[0].Relays) != 1 || b.partial {
			t.Errorf("links %v, known %v, partial %v", b.links, b.linked, b.partial)
		}
	}
}

func TestWalkOfChangingKea(t *testing.T) {
	t.Parallel()
	k := newKea(t, nil)
	k.start()
	k.addMany(1<<20, 1000) // these stay
	stays := k.all()
	k.addMany(0, 1000)
	b := &book{}
	b.hook = func(page int) {
		if page > 8 {
			return
		}
		// Before the cursor and behind it: new ones, and an end.
		k.addMany(2000+10*page, 10)
		k.addMany(1<<21+10*page, 10)
		for _, i := range []int{20 * page, 20*page + 500} {
			k.must("lease6-del", map[string]any{"ip-address": madeLease(i)["ip-address"], "type": madeLease(i)["type"]}, nil)
		}
	}
	_, ring := follow(t, walkConfig{control: k.asks(), page: 100}, b)
	got := b.complete(t, 1)
	for a, want := range stays {
		if got[a] != want {
			t.Fatalf("%s: %q, want %q: it was there all the time", a, got[a], want)
		}
	}
	get(b, func() bool { b.hook = nil; return true })
	ring <- struct{}{}
	if want, got := k.all(), b.complete(t, 2); !maps.Equal(want, got) {
		t.Errorf("quiet again (-Kea +walk):\n%.3000s", cmp.Diff(want, got))
	}
	k.must("lease6-wipe", map[string]any{"subnet-id": 1}, nil)
	ring <- struct{}{}
	if want, got := k.all(), b.complete(t, 3); !maps.Equal(want, got) || len(got) != 0 {
		t.Errorf("wiped: Kea has %d, the walk found %d", len(want), len(got))
	}
}

func TestWalkBeginsAnewWhenKeaRestarts(t *testing.T) {
	t.Parallel()
	k := newKea(t, nil)
	k.start()
	k.addMany(0, 1000)
	b := &book{}
	restarted := false
	b.hook = func(page int) {
		if page == 4 && !restarted {
			restarted = true
			k.stop()
			k.start()
		}
	}
	w, _ := follow(t, walkConfig{control: k.asks(), page: 100}, b)
	got := b.complete(t, 1)
	if want := k.all(); !maps.Equal(want, got) {
		t.Errorf("(-Kea +walk):\n%.3000s", cmp.Diff(want, got))
	}
	if begins := get(b, func() int { return b.begins }); begins < 2 {
		t.Errorf("%d begins: the statement was not begun anew", begins)
	}
	// Between statements: away, and back with other leases and another subnet.
	ends := get(b, func() int { return b.ends })
	k.stop()
	until(t, "trouble tells that Kea is away", func() bool { return strings.Contains(w.trouble(), k.socket) })
	k.configure(map[string]any{"subnet6": []any{map[string]any{"id": 7, "subnet": "2001:db8:1::/64"}}})
	k.start()
	b.complete(t, ends+1)
	until(t, "the new link is told", func() bool {
		return get(b, func() bool { return !b.open && len(b.links) == 1 && b.links[0].Label == "subnet 7" })
	})
	until(t, "no trouble", func() bool { return w.trouble() == "" })
	// Read anew without a restart.
	k.configure(map[string]any{"subnet6": []any{map[string]any{"id": 8, "subnet": "2001:db8:1::/64"}}})
	until(t, "the configuration is old enough to tell", func() bool {
		var status struct{ Reload int }
		k.must("status-get", nil, &status)
		return status.Reload >= 2 // whole seconds
	})
	k.must("config-reload", nil, nil)
	until(t, "the reloaded link is told", func() bool {
		return get(b, func() bool { return !b.open && len(b.links) == 1 && b.links[0].Label == "subnet 8" })
	})
}

func TestWalkWaitsForKea(t *testing.T) {
	k := newKea(t, nil)
	b := &book{}
	w, _ := follow(t, walkConfig{control: k.asks()}, b)
	until(t, "trouble", func() bool { return strings.Contains(w.trouble(), "is Kea running") })
	k.start()
	if got := b.complete(t, 1); len(got) != 0 {
		t.Errorf("leases %v", got)
	}
	if text := w.trouble(); text != "" {
		t.Errorf("trouble %q", text)
	}
}

func TestWalkWithoutTheHook(t *testing.T) {
	k := newKea(t, map[string]any{"hooks-libraries": []any{}})
	k.start()
	b := &book{}
	w, _ := follow(t, walkConfig{control: k.asks()}, b)
	until(t, "trouble names the hook", func() bool { return strings.Contains(w.trouble(), "libdhcp_lease_cmds.so") })
	if get(b, func() int { return b.ends }) != 0 {
		t.Error("a statement ended")
	}
}

// TestWalkOfLargeLeases: an answer is not taken that is longer than we keep, and the leases in it are asked for by fewer.
func TestWalkOfLargeLeases(t *testing.T) {
	leases := map[string]map[string]any{}
	for i := range 20 {
		l := madeLease(i)
		leases[l["ip-address"].(string)] = l
	}
	k := &pagesModel{leases: leases, tell: true, pid: 1, began: time.Now(), touched: map[string]bool{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c recordedCommand
		body, _ := io.ReadAll(r.Body)
		if json.Unmarshal(body, &c) == nil && c.Command == "lease6-get-page" && c.Arguments["limit"].(float64) > 6 {
			for chunk := bytes.Repeat([]byte(" "), 1<<20); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		k.ServeHTTP(w, r)
	}))
	defer server.Close()
	b := &book{}
	_, _ = follow(t, walkConfig{control: newTestControl(t, ControlConfig{URL: server.URL, longest: 32 << 10}), page: 20}, b)
	if got := b.complete(t, 1); len(got) != 20 {
		t.Errorf("%d leases", len(got))
	}
}

// TestWalkOnce: whoever keeps the schedule gets one statement for each read.
func TestWalkOnce(t *testing.T) {
	server := httptest.NewServer(&pagesModel{leases: map[string]map[string]any{"x": madeLease(0)}, tell: true, pid: 1, began: time.Now(), touched: map[string]bool{}, textual: true})
	defer server.Close()
	b := &book{}
	w := newWalk(walkConfig{control: newTestControl(t, ControlConfig{URL: server.URL}), once: true})
	for n := 1; n <= 2; n++ {
		if err := w.read(t.Context(), nil, b.take); err != nil || b.begins != n || b.ends != n || len(b.leases) != 1 {
			t.Fatalf("%d begins, %d ends, %d leases, error %v; want %d statements", b.begins, b.ends, len(b.leases), err, n)
		}
	}
}
