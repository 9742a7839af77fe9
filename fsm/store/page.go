package store

import (
	"encoding/binary"
	"math"

	"github.com/leasehold/leasehold/fsm/binding"
)

// page is a leaf of a tree: records in order behind a directory. It holds no pointers. DESIGN.md draws it.
//
//	 0 epoch    8   the epoch it was made in
//	 8 due      8   no record here has anything due before
//	16 newest   8   no record here changed after
//	24 records  2
//	26 heap     2   offset of the lowest record; records lie between there and the end of the page
//	28 dead     2   octets in the heap that no record uses
//	30 -        2
//	32 directory: for each record in order
//	     place  8   link and hash of the DUID
//	     offset 2
//	     size   2
//
// Numbers are little endian. A page is pageSize octets, or larger if it has one record that needs it.
type page []byte

const (
	pageSize   = 4096
	pageHeader = 32
	slotSize   = 12

	never = binding.Time(math.MaxInt64) // due of what is never due
)

func (p page) epoch() uint64         { return binary.LittleEndian.Uint64(p) }
func (p page) setEpoch(e uint64)     { binary.LittleEndian.PutUint64(p, e) }
func (p page) due() binding.Time     { return binding.Time(binary.LittleEndian.Uint64(p[8:])) }
func (p page) setDue(t binding.Time) { binary.LittleEndian.PutUint64(p[8:], uint64(t)) }
func (p page) newest() uint64        { return binary.LittleEndian.Uint64(p[16:]) }
func (p page) setNewest(m uint64)    { binary.LittleEndian.PutUint64(p[16:], m) }
func (p page) count() int            { return int(binary.LittleEndian.Uint16(p[24:])) }
func (p page) setCount(n int)        { binary.LittleEndian.PutUint16(p[24:], uint16(n)) }
func (p page) heap() int             { return int(binary.LittleEndian.Uint16(p[26:])) }
func (p page) setHeap(n int)         { binary.LittleEndian.PutUint16(p[26:], uint16(n)) }
func (p page) dead() int             { return int(binary.LittleEndian.Uint16(p[28:])) }
func (p page) setDead(n int)         { binary.LittleEndian.PutUint16(p[28:], uint16(n)) }
func (p page) slot(i int) []byte     { return p[pageHeader+i*slotSize:][:slotSize] }
func (p page) place(i int) uint64    { return binary.LittleEndian.Uint64(p[pageHeader+i*slotSize:]) }
func (p page) free() int             { return p.heap() - pageHeader - slotSize*p.count() }
func (p page) used() int             { return len(p) - p.free() - p.dead() }
func fits(size int) bool             { return size+slotSize+pageHeader <= pageSize }

func (p page) offset(i int) int { return int(binary.LittleEndian.Uint16(p.slot(i)[8:])) }

// record is the i-th record. It is changed in place by whoever may change the page.
func (p page) record(i int) record {
	s := p.slot(i)
	off, size := int(binary.LittleEndian.Uint16(s[8:])), int(binary.LittleEndian.Uint16(s[10:]))
	return record(p[off : off+size : off+size])
}

func (p page) reset(epoch uint64) {
	p.setEpoch(epoch)
	p.setDue(never)
	p.setNewest(0)
	p.setCount(0)
	p.setHeap(len(p))
	p.setDead(0)
}

// lowerPlace is the first record that is not before the place.
func (p page) lowerPlace(lh uint64) int {
	lo, hi := 0, p.count()
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if p.place(mid) < lh {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// lower is the first record that is not before k.
func (p page) lower(k *key) int {
	i := p.lowerPlace(k.place)
	for n := p.count(); i < n && p.place(i) == k.place && p.record(i).compare(k) < 0; i++ {
	}
	return i
}

// insert puts a record before the i-th; it tells whether there was room.
func (p page) insert(i int, lh uint64, rec []byte, scratch []byte) bool {
	need := len(rec) + slotSize
	if p.free()+p.dead() < need {
		return false
	}
	if p.free() < need {
		p.compact(scratch)
	}
	n := p.count()
	dir := p[pageHeader:]
	copy(dir[(i+1)*slotSize:(n+1)*slotSize], dir[i*slotSize:n*slotSize])
	p.setCount(n + 1)
	p.store(i, lh, rec)
	return true
}

// store writes a record to fresh room of the heap and its directory slot.
func (p page) store(i int, lh uint64, rec []byte) {
	off := p.heap() - len(rec)
	copy(p[off:], rec)
	p.setHeap(off)
	s := p.slot(i)
	binary.LittleEndian.PutUint64(s, lh)
	binary.LittleEndian.PutUint16(s[8:], uint16(off))
	binary.LittleEndian.PutUint16(s[10:], uint16(len(rec)))
}

// replace writes rec over the i-th record; it tells whether there was room. rec may not lie in the page.
func (p page) replace(i int, rec []byte, scratch []byte) bool {
	old := p.record(i)
	if len(rec) <= len(old) {
		copy(old, rec)
		binary.LittleEndian.PutUint16(p.slot(i)[10:], uint16(len(rec)))
		p.setDead(p.dead() + len(old) - len(rec))
		return true
	}
	if p.free()+p.dead()+len(old) < len(rec) {
		return false
	}
	if grow := len(rec) - len(old); p.heap() == p.offset(i) && p.free() >= grow {
		p.setHeap(p.heap() + len(old)) // the newest record, of a client whose bindings come one behind the other
		p.store(i, p.place(i), rec)
		return true
	}
	binary.LittleEndian.PutUint16(p.slot(i)[10:], 0)
	p.setDead(p.dead() + len(old))
	if p.free() < len(rec) {
		p.compact(scratch)
	}
	p.store(i, p.place(i), rec)
	return true
}

// remove takes the i-th record out.
func (p page) remove(i int) {
	n := p.count()
	p.setDead(p.dead() + len(p.record(i)))
	dir := p[pageHeader:]
	copy(dir[i*slotSize:], dir[(i+1)*slotSize:n*slotSize])
	p.setCount(n - 1)
	if n == 1 {
		p.setHeap(len(p))
		p.setDead(0)
	}
}

// compact moves the records together at the end of the page. scratch has at least the page's size.
func (p page) compact(scratch []byte) {
	end := len(p)
	for i := range p.count() {
		rec := p.record(i)
		end -= len(rec)
		copy(scratch[end:], rec)
		binary.LittleEndian.PutUint16(p.slot(i)[8:], uint16(end))
	}
	copy(p[end:], scratch[end:len(p)])
	p.setHeap(end)
	p.setDead(0)
}

// bounds is the exact earliest due and newest change of the records in p.
func (p page) bounds(history binding.Time) (due binding.Time, newest uint64) {
	due = never
	for i := range p.count() {
		d, m := p.record(i).bounds(history)
		due, newest = min(due, d), max(newest, m)
	}
	return due, newest
}
