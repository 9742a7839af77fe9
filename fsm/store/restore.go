package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/link"
)

// ErrSnapshot is wrapped by every error about a snapshot that is not one, is of another version, or contradicts itself.
var ErrSnapshot = errors.New("invalid store snapshot")

// maxSourceName bounds the name of a source in a snapshot.
const maxSourceName = 4096

// restorer reads a snapshot and builds a store.
type restorer struct {
	s    *Store
	r    *bufio.Reader
	err  error
	tree treeBuilder

	buf                               []byte
	addresses, duids, relays, remotes []pair
	lastPlace                         uint64
	last                              []byte // a copy of the last record
	records                           uint64
}

// Restore reads a snapshot that View.WriteTo wrote into a new store. It verifies the form of everything, not a checksum,
// which is the envelope's. Errors about the content wrap ErrSnapshot.
func Restore(r io.Reader) (*Store, error) { return restore(r, hasher{}) }

func restore(r io.Reader, h hasher) (*Store, error) {
	x := &restorer{s: newStore(h), r: bufio.NewReaderSize(r, 1<<18)}
	x.tree.t = x.s.clients
	if err := x.header(); err != nil {
		return nil, fmt.Errorf("restore store header: %w", err)
	}
	for {
		more, err := x.record()
		if err != nil {
			return nil, fmt.Errorf("restore record %d of the store: %w", x.records, err)
		}
		if !more {
			break
		}
	}
	x.finish()
	return x.s, nil
}

// next reads n octets; they are valid until the next call. n is never more than 64 KiB.
func (x *restorer) next(n int) []byte {
	x.buf = slices.Grow(x.buf[:0], n)[:n]
	if x.err == nil {
		_, x.err = io.ReadFull(x.r, x.buf)
		if errors.Is(x.err, io.EOF) || errors.Is(x.err, io.ErrUnexpectedEOF) {
			x.err = fmt.Errorf("%w: cut short: %w", ErrSnapshot, x.err)
		}
	}
	if x.err != nil {
		clear(x.buf)
	}
	return x.buf
}

func (x *restorer) u8() uint8   { return x.next(1)[0] }
func (x *restorer) u16() uint16 { return binary.LittleEndian.Uint16(x.next(2)) }
func (x *restorer) u64() uint64 { return binary.LittleEndian.Uint64(x.next(8)) }

func (x *restorer) header() error {
	s := x.s
	if magic := x.next(len(snapshotMagic)); x.err == nil && string(magic) != snapshotMagic {
		return fmt.Errorf("%w: begins with %q, want %q", ErrSnapshot, magic, snapshotMagic)
	}
	s.index, s.clock, s.mark = x.u64(), binding.Time(x.u64()), x.u64()
	s.setHistory(max(0, binding.Time(x.u64())))
	s.historySince = binding.Time(x.u64())
	for n := x.u16(); n > 0 && x.err == nil; n-- {
		if err := x.source(); err != nil {
			return err
		}
	}
	size := binary.LittleEndian.Uint32(x.next(4))
	if x.err != nil {
		return x.err
	}
	var table bytes.Buffer // grows with what really comes
	if _, err := io.CopyN(&table, x.r, int64(size)); err != nil {
		return fmt.Errorf("%w: link table cut short: %w", ErrSnapshot, err)
	}
	links, err := link.ParseTable(table.Bytes())
	if err != nil {
		return fmt.Errorf("%w: link table: %w", ErrSnapshot, err)
	}
	s.links = links
	return nil
}

func (x *restorer) source() error {
	size := int(x.u16())
	if size > maxSourceName {
		return fmt.Errorf("%w: name of a source of %d octets", ErrSnapshot, size)
	}
	name := string(x.next(size))
	if x.err != nil {
		return x.err
	}
	if x.s.byName[name] != nil {
		return fmt.Errorf("%w: source %q twice", ErrSnapshot, name)
	}
	src := x.s.source(name)
	if src == nil {
		return fmt.Errorf("%w: too many sources", ErrSnapshot)
	}
	src.gen = x.u8()
	flags := x.u8()
	src.resyncing, src.sweeping, src.links = flags&flagResyncing != 0, flags&flagSweeping != 0, flags&flagLinks != 0
	src.lastResync = binding.Time(x.u64())
	src.swept = readPosition(x.next(34))
	src.swept.duid = bytes.Clone(x.next(int(x.u8())))
	return x.err
}

// record reads a record; false at the end.
func (x *restorer) record() (bool, error) {
	size := int(x.u16())
	if x.err != nil {
		return false, x.err
	}
	if size == 0 {
		if n := x.u64(); x.err == nil && n != x.records {
			return false, fmt.Errorf("%w: ends after %d records, counts %d", ErrSnapshot, x.records, n)
		}
		return false, x.err
	}
	b := x.next(8 + size)
	if x.err != nil {
		return false, x.err
	}
	lh, rec := binary.LittleEndian.Uint64(b), record(b[8:])
	if err := rec.validate(len(x.s.sources)); err != nil {
		return false, err
	}
	if want := x.s.hash.of(rec.duid()); uint32(lh) != want || placeLink(lh) == 0 {
		return false, fmt.Errorf("%w: place %x of duid %s", ErrSnapshot, lh, binding.FormatDUID(rec.duid()))
	}
	if id := placeLink(lh); (x.records == 0 || id != placeLink(x.lastPlace)) && x.s.links.Snapshot().Identity(id) == nil {
		return false, fmt.Errorf("%w: a client on link %d, which there is not", ErrSnapshot, id)
	}
	if err := x.inOrder(lh, rec); err != nil {
		return false, err
	}
	x.index(lh, rec)
	x.tree.add(lh, rec)
	x.lastPlace, x.last = lh, append(x.last[:0], rec...)
	x.records++
	return true, nil
}

// inOrder checks that a record comes behind the last.
func (x *restorer) inOrder(lh uint64, rec record) error {
	if x.records == 0 || lh > x.lastPlace {
		return nil
	}
	last := record(x.last)
	c := bytes.Compare(last.duid(), rec.duid())
	if lh == x.lastPlace && c < 0 {
		return nil
	}
	if lh == x.lastPlace && c == 0 {
		var end order
		for e := range last.all {
			end = e.order()
		}
		if o := packed(rec.first()).order(); end.compare(&o) < 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: record out of order", ErrSnapshot)
}

// index gathers the pairs of a record and counts its entries.
func (x *restorer) index(lh uint64, rec record) {
	s := x.s
	x.duids = append(x.duids, pair{uint32(lh), uint32(lh >> 32), 0})
	var last uint8
	for p := range rec.all {
		e := rec.unpack(p)
		a := e.address()
		x.addresses = append(x.addresses, pairOf(a.hash(s.hash), lh))
		s.count(lh, &e)
		if p[2] == last {
			continue
		}
		last = p[2]
		s.ids.gather(s.hash, e.chain)
		for _, h := range s.ids.relays {
			x.relays = append(x.relays, pairOf(h, lh))
		}
		for _, h := range s.ids.remotes {
			x.remotes = append(x.remotes, pairOf(h, lh))
		}
	}
}

// finish builds the trees.
func (x *restorer) finish() {
	s := x.s
	x.tree.finish()
	s.addresses.build(sortByThing(x.addresses))
	s.duids.build(slices.Compact(sortByThing(x.duids)))
	s.relays.build(slices.Compact(sortByThing(x.relays)))
	s.remotes.build(slices.Compact(sortByThing(x.remotes)))
}
