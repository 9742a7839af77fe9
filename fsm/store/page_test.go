package store

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// spotRecord is a record without entries of about the given size, under a DUID that begins with n.
func spotRecord(n uint16, size int) record {
	var c encoder
	duid := binary.BigEndian.AppendUint16(nil, n)
	rec, _ := c.encode(duid, nil)
	rec = append(bytes.Clone(rec), bytes.Repeat([]byte{byte(n)}, size)...)
	return rec
}

// FuzzPage drives a page and a sorted list of records side by side: each three octets of input are one operation.
func FuzzPage(f *testing.F) {
	f.Add([]byte{0, 1, 200, 0, 2, 255, 1, 1, 255, 2, 1, 0})
	f.Add(bytes.Repeat([]byte{0, 9, 255, 1, 9, 3, 0, 7, 250, 2, 9, 1}, 20))
	f.Fuzz(func(t *testing.T, ops []byte) {
		e := newEpochs()
		pg := e.newPage(pageSize)
		scratch := make([]byte, largestPage)
		var want []item
		for ; len(ops) >= 3; ops = ops[3:] {
			lh, rec := uint64(ops[1]>>4), spotRecord(uint16(ops[1]), int(ops[2])*5)
			k := key{place: lh, duid: rec.duid()}
			i := pg.lower(&k)
			found := i < len(want) && want[i].place == lh && bytes.Equal(want[i].rec.duid(), rec.duid())
			room := pg.free() + pg.dead()
			switch op := ops[0] % 3; {
			case op == 0 && !found:
				if ok := pg.insert(i, lh, rec, scratch); ok != (room >= len(rec)+slotSize) {
					t.Fatalf("insert of %d octets into room of %d: %v", len(rec), room, ok)
				} else if ok {
					want = slices.Insert(want, i, item{lh, rec})
				}
			case op == 1 && found:
				room += len(want[i].rec)
				if ok := pg.replace(i, rec, scratch); ok != (room >= len(rec)) {
					t.Fatalf("replacement of %d octets in room of %d: %v", len(rec), room, ok)
				} else if ok {
					want[i].rec = rec
				}
			case op == 2 && found:
				pg.remove(i)
				want = slices.Delete(want, i, i+1)
			}
			used := pageHeader
			for j := range want {
				used += want[j].need()
				if j >= pg.count() || pg.place(j) != want[j].place || !bytes.Equal(pg.record(j), want[j].rec) {
					t.Fatalf("record %d is not %x", j, want[j].rec)
				}
			}
			if pg.count() != len(want) || pg.used() != used {
				t.Fatalf("%d records in %d octets, want %d in %d", pg.count(), pg.used(), len(want), used)
			}
		}
	})
}

// TestTreeEqualsSortedList drives a tree of records, small and too large for a page, and a sorted list, while states of it
// are pinned and let go.
func TestTreeEqualsSortedList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := newEpochs()
		tr := newTree(&e)
		var want []item
		type kept struct {
			pin  *pin
			root treeRoot
			want []item
		}
		var pins []kept
		for range rapid.IntRange(1, 400).Draw(t, "operations") {
			switch rapid.IntRange(0, 30).Draw(t, "operation") {
			case 0:
				p := e.pinNow()
				p.refs.Add(1)
				pins = append(pins, kept{p, treeRoot{tr.root, tr.height}, slices.Clone(want)})
				continue
			case 1:
				if len(pins) > 0 {
					i := rapid.IntRange(0, len(pins)-1).Draw(t, "pin")
					sameItems(t, pins[i].root, pins[i].want)
					pins[i].pin.refs.Add(-1)
					pins = slices.Delete(pins, i, i+1)
					e.collect()
				}
				continue
			}
			n := rapid.Uint16Range(0, 600).Draw(t, "record")
			size := rapid.SampledFrom([]int{0, 10, 100, 900, 900, 900, 3000, 5000}).Draw(t, "size")
			lh, rec := uint64(n/8), spotRecord(n, size)
			k := key{place: lh, duid: rec.duid()}
			i, found := slices.BinarySearchFunc(want, n, func(it item, n uint16) int {
				return int(binary.BigEndian.Uint16(it.rec.duid())) - int(n)
			})
			var p path
			at := tr.seek(&p, &k) && p.isAt(p.i, lh, rec.duid())
			if at != found {
				t.Fatalf("record %d: found %v, want %v", n, at, found)
			}
			switch remove := rapid.Bool().Draw(t, "remove"); {
			case !found:
				tr.insert(&p, lh, rec)
				want = slices.Insert(want, i, item{lh, rec})
			case remove:
				tr.remove(&p)
				want = slices.Delete(want, i, i+1)
			default:
				tr.replace(&p, rec)
				want[i].rec = rec
			}
		}
		sameItems(t, treeRoot{tr.root, tr.height}, want)
		for _, k := range pins {
			sameItems(t, k.root, k.want)
		}
		for _, it := range slices.Clone(want) {
			var p path
			tr.seek(&p, &key{place: it.place, duid: it.rec.duid()})
			tr.remove(&p)
		}
		if tr.root.n != 0 || tr.height != 1 {
			t.Fatalf("an empty tree has %d children, height %d", tr.root.n, tr.height)
		}
	})
}

func sameItems(t *rapid.T, root treeRoot, want []item) {
	var p path
	i := 0
	for ok := p.seek(root.root, root.height, &key{}) && p.settle(); ok; ok = p.next() {
		if i >= len(want) || p.place() != want[i].place || !bytes.Equal(p.record(), want[i].rec) {
			t.Fatalf("record %d of %d is not as it was", i, len(want))
		}
		i++
	}
	if i != len(want) {
		t.Fatalf("%d records, want %d", i, len(want))
	}
}

// TestPairsEqualSortedList does the same for a tree of pairs, which is a bag.
func TestPairsEqualSortedList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := newEpochs()
		tr := newPairTree(&e)
		var want []pair
		type kept struct {
			pin  *pin
			root pairRoot
			want []pair
		}
		var pins []kept
		things := rapid.Uint32Range(1, 2000).Draw(t, "things")
		for range rapid.IntRange(1, 60).Draw(t, "rounds") {
			r := rapid.Uint64().Draw(t, "seed")
			for range 50 {
				r = r*6364136223846793005 + 1442695040888963407
				k := pair{uint32(r>>33) % things, uint32(r>>20) % 3, uint32(r>>50) % 2}
				i, found := slices.BinarySearchFunc(want, k, comparePairs)
				if tr.has(k) != found {
					t.Fatalf("%v: has %v, want %v", k, !found, found)
				}
				switch r >> 62 {
				case 0, 1:
					tr.insert(k)
					want = slices.Insert(want, i, k)
				case 2:
					tr.put(k)
					if !found {
						want = slices.Insert(want, i, k)
					}
				default:
					if tr.remove(k) != found {
						t.Fatalf("%v: removed %v, want %v", k, !found, found)
					}
					if found {
						want = slices.Delete(want, i, i+1)
					}
				}
			}
			if rapid.Bool().Draw(t, "pin") {
				p := e.pinNow()
				p.refs.Add(1)
				pins = append(pins, kept{p, pairRoot{tr.root, tr.height}, slices.Clone(want)})
			} else if len(pins) > 0 {
				i := rapid.IntRange(0, len(pins)-1).Draw(t, "let go")
				samePairs(t, pins[i].root, pins[i].want)
				pins[i].pin.refs.Add(-1)
				pins = slices.Delete(pins, i, i+1)
				e.collect()
			}
		}
		for _, k := range pins {
			samePairs(t, k.root, k.want)
		}
		for _, k := range want {
			tr.remove(k)
		}
		if tr.root.n != 0 || tr.height != 1 {
			t.Fatalf("an empty tree has %d children, height %d", tr.root.n, tr.height)
		}
	})
}

func comparePairs(a, b pair) int {
	switch {
	case a.less(b):
		return -1
	case b.less(a):
		return 1
	}
	return 0
}

func samePairs(t *rapid.T, root pairRoot, want []pair) {
	var p pairPath
	i := 0
	for p.seek(root.root, root.height, pair{}); p.settle(); p.i++ {
		if i >= len(want) || p.pair() != want[i] {
			t.Fatalf("pair %d of %d is %v", i, len(want), p.pair())
		}
		i++
	}
	if i != len(want) {
		t.Fatalf("%d pairs, want %d", i, len(want))
	}
}
