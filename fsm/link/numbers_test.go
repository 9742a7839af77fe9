package link

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

func TestNumbersAreTheLowestFree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n numbers
		used := map[binding.LinkID]bool{}
		for range rapid.SampledFrom([]int{0, 63, 64, 4095, 4096, 9000}).Draw(t, "taken at first") {
			used[n.take()] = true
		}
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			if len(used) > 0 && rapid.Bool().Draw(t, "release") {
				id := binding.LinkID(rapid.IntRange(0, len(used)-1).Draw(t, "number"))
				if used[id] {
					delete(used, id)
					n.release(id)
				}
				continue
			}
			want := binding.LinkID(0)
			for used[want] {
				want++
			}
			if got := n.take(); got != want {
				t.Fatalf("took %d, the lowest free number is %d", got, want)
			}
			used[want] = true
		}
	})
}

func unrelayed(i int) Facts {
	a := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i), 15: 1})
	return Facts{Source: "kea-a", Prefix: hostPrefix(a)}
}

func TestLinkGoesAwayAndItsNumberIsUsedAgain(t *testing.T) {
	table := New()
	var ids []binding.LinkID
	for i := range 3 {
		ids = append(ids, table.Home(unrelayed(i)))
		table.Acquire(ids[i])
	}
	if !slices.Equal(ids, []binding.LinkID{1, 2, 3}) {
		t.Fatalf("numbers %v, want 1, 2, 3", ids)
	}
	before := table.Snapshot()
	table.Release(2)
	if got := table.Snapshot().Prefixes(2); got != nil {
		t.Errorf("link 2 has prefixes %v after its last record went", got)
	}
	if got := table.Home(unrelayed(9)); got != 2 {
		t.Errorf("the next link has number %d, want the free 2", got)
	}
	if got := before.Prefixes(2); len(got) != 1 || got[0] != prefix64(unrelayed(1).Prefix.Addr()) {
		t.Errorf("the snapshot taken before shows link 2 with prefixes %v", got)
	}
}

func TestReleaseWithoutAcquirePanics(t *testing.T) {
	table := New()
	id := table.Home(unrelayed(1))
	defer func() {
		if recover() == nil {
			t.Error("a count of records went below nothing")
		}
	}()
	table.Release(id)
}

func TestRepresentativeSkipsLongerPrefixes(t *testing.T) {
	table := New()
	define := func(label string, prefix ...string) {
		table.Define("kea", &binding.Link{Label: label, Prefixes: prefixes(prefix...), Relays: addrs("2001:db8:ffff::" + label)})
	}
	define("1", "2001:db8::/32")
	for i := range 300 {
		define(fmt.Sprint(i+1000), fmt.Sprintf("2001:db8:%x::/48", i))
	}
	links := table.Snapshot()
	if got, want := links.Representative(1), netip.MustParseAddr("2001:db8:12c::"); got != want {
		t.Errorf("representative address %v, want %v behind the 300 longer prefixes", got, want)
	}
	define("2", "2001:db8::/33")
	define("3", "2001:db8:8000::/33")
	if got, want := table.Snapshot().Representative(1), netip.MustParseAddr("2001:db8:ffff::1"); got != want {
		t.Errorf("representative address %v, want the relay's, %v: others hold all of the prefix", got, want)
	}
	if got := links.Representative(9999); got.IsValid() {
		t.Errorf("unknown link is represented by %v", got)
	}
	define("4", "::/0")
	if got, want := table.Snapshot().Representative(table.find(prefixes("::/0"))), netip.IPv6Unspecified(); got != want {
		t.Errorf("::/0 is represented by %v, want %v", got, want)
	}
}

// BenchmarkMadeUp makes up a link and lets the oldest one go, with many others there and a snapshot after every batch.
func BenchmarkMadeUp(b *testing.B) {
	const links = 500_000
	for _, batch := range []int{1, 512} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			table := New()
			ids := make([]binding.LinkID, links)
			for i := range ids {
				ids[i] = table.Home(unrelayed(i))
				table.Acquire(ids[i])
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				id := table.Home(unrelayed(links + i))
				table.Acquire(id)
				table.Release(ids[i%links])
				ids[i%links] = id
				if i++; i%batch == 0 {
					table.Snapshot()
				}
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/links, "B/link")
		})
	}
}

// BenchmarkHome finds the links of bindings: by name, by a known relay, and by a made-up link.
func BenchmarkHome(b *testing.B) {
	table := New()
	for i := range 10_000 {
		p := prefix64(unrelayed(i).Prefix.Addr())
		table.Define("kea-a", &binding.Link{Label: fmt.Sprint(i), Names: []string{fmt.Sprint(i)}, Prefixes: []netip.Prefix{p}})
	}
	named, relayed, madeUp := unrelayed(7), unrelayed(8), unrelayed(20_000)
	named.Name = []byte("7")
	relayed.LinkAddress = relayed.Prefix.Addr()
	table.Acquire(table.Home(madeUp))
	for what, f := range map[string]Facts{"named": named, "relayed": relayed, "made up": madeUp} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Home(f)
			}
		})
	}
}
