package link

import (
	"maps"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// TestPrefixMapEqualsPlainMap changes a prefix map beside a plain one, takes snapshots in between, and wants each snapshot to
// show what it showed when it was taken.
func TestPrefixMapEqualsPlainMap(t *testing.T) {
	drawKey := rapid.Custom(func(t *rapid.T) prefixKey {
		b := [16]byte{0: 0x20, 6: rapid.Byte().Draw(t, "high"), 9: rapid.Byte().Draw(t, "low")}
		return addrKey(netip.AddrFrom16(b), rapid.SampledFrom([]uint8{0, 1, 48, 56, 63, 64, 65, 80, 128}).Draw(t, "length"))
	})
	rapid.Check(t, func(t *rapid.T) {
		m, want, epoch := newPrefixMap[int](), map[prefixKey]int{}, uint64(1)
		var views []taken
		for i := range rapid.IntRange(0, 2000).Draw(t, "steps") {
			k := drawKey.Draw(t, "prefix")
			switch {
			case i%3 == 2:
				delete(want, k)
				m.remove(k, epoch)
			default:
				want[k] = i
				m.set(k, i, epoch)
			}
			if i%500 == 499 {
				views = append(views, taken{m, maps.Clone(want)})
				epoch++
			}
		}
		for _, v := range append(views, taken{m, want}) {
			for range 20 {
				v.check(t, drawKey.Draw(t, "asked"))
			}
		}
	})
}

// taken is a snapshot of a prefix map, and what it must show.
type taken struct {
	m    prefixMap[int]
	want map[prefixKey]int
}

func (v *taken) check(t *rapid.T, k prefixKey) {
	want, there := v.want[k]
	if got, ok := v.m.get(k); got != want || ok != there {
		t.Fatalf("%v is %d, %v, want %d, %v", k.prefix(), got, ok, want, there)
	}
	longest, value := -1, 0
	for q, x := range v.want {
		if q.bits <= k.bits && q.prefix().Contains(k.prefix().Addr()) && int(q.bits) > longest {
			longest, value = int(q.bits), x
		}
	}
	found, got, ok := v.m.longest(k)
	if ok != (longest >= 0) || ok && (int(found.bits) != longest || got != value || found != k.cut(found.bits)) {
		t.Fatalf("%v is held by %v with %d, %v, want length %d with %d", k.prefix(), found.prefix(), got, ok, longest, value)
	}
}
