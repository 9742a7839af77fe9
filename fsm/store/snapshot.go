package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/leasehold/leasehold/fsm/binding"
)

// The snapshot of a store, all numbers little endian:
//
//	magic        8   "LHSTORE" and the version, 1
//	index        8
//	clock        8
//	mark         8   of the newest change
//	history      8   milliseconds
//	since        8   history is complete from here on
//	sources      2   how many; then each, by number:
//	  name           2 octets of length, then the name
//	  generation 1
//	  flags      1   1 resyncing, 2 sweeping, 4 its resync states the links
//	  last       8   end of its last resync
//	  swept          how far its sweep has got: place 8, kind 1, address 16, length 1, mark 8, DUID behind 1 octet of length
//	links            4 octets of length, then the link table
//	records          in order, each: size 2, place 8, then that many octets of record
//	end          2   size 0
//	records      8   how many
//
// Equal stores have equal snapshots: a client's record is divided in one way only, whatever way it took in the pages.
const (
	snapshotMagic  = "LHSTORE\x01"
	snapshotBuffer = 1 << 16

	flagResyncing = 1
	flagSweeping  = 2
	flagLinks     = 4
)

// snapshotWriter gathers what is written and counts it.
type snapshotWriter struct {
	w       io.Writer
	buf     []byte
	n       int64
	err     error
	records uint64
	encoder encoder
	chunk   []entry
	sum     uint32 // of touchNext
}

// ErrStale is returned by WriteTo for a view that View took, not Snapshot, after the store was written to.
var ErrStale = errors.New("view has no link table: take it by Snapshot")

// WriteTo streams a snapshot of the view. Restore reads it. A view that View took can be written only until the next write
// to the store; one that Snapshot took always.
func (v *View) WriteTo(w io.Writer) (int64, error) {
	table := v.linkTable()
	if table == nil {
		return 0, fmt.Errorf("write store snapshot: %w", ErrStale)
	}
	s := &snapshotWriter{w: w, buf: make([]byte, 0, 2*snapshotBuffer)}
	s.header(v.state, table)
	var p path
	if p.seek(v.clients.root, v.clients.height, &key{}) {
		for ok := p.settle(); ok && s.err == nil; {
			ok = s.client(&p)
		}
	}
	s.buf = binary.LittleEndian.AppendUint16(s.buf, 0)
	s.buf = binary.LittleEndian.AppendUint64(s.buf, s.records)
	s.flush(0)
	if s.err != nil {
		return s.n, fmt.Errorf("write store snapshot: %w", s.err)
	}
	return s.n, nil
}

// flush writes the buffer out if it holds more than keep octets.
func (s *snapshotWriter) flush(keep int) {
	if len(s.buf) <= keep || s.err != nil {
		return
	}
	n, err := s.w.Write(s.buf)
	s.n += int64(n)
	s.err = err
	s.buf = s.buf[:0]
}

func (s *snapshotWriter) header(st *state, table []byte) {
	b := append(s.buf, snapshotMagic...)
	b = binary.LittleEndian.AppendUint64(b, st.index)
	b = binary.LittleEndian.AppendUint64(b, uint64(st.clock))
	b = binary.LittleEndian.AppendUint64(b, st.mark)
	b = binary.LittleEndian.AppendUint64(b, uint64(st.history))
	b = binary.LittleEndian.AppendUint64(b, uint64(st.historySince))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(st.resyncs)))
	for i := range st.resyncs {
		b = appendSource(b, &st.resyncs[i])
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(table)))
	s.buf = append(b, table...)
	s.flush(snapshotBuffer)
}

func appendSource(b []byte, src *source) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(src.name)))
	b = append(b, src.name...)
	var flags byte
	for i, set := range []bool{src.resyncing, src.sweeping, src.links} {
		if set {
			flags |= 1 << i
		}
	}
	b = append(b, src.gen, flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(src.lastResync))
	at := &src.swept
	b = binary.LittleEndian.AppendUint64(b, at.place)
	b = append(b, uint8(at.order.kind))
	b = append(b, at.order.octets[:]...)
	b = append(b, at.order.bits)
	b = binary.LittleEndian.AppendUint64(b, at.order.mark)
	b = append(b, uint8(len(at.duid)))
	return append(b, at.duid...)
}

// client writes the client that p is at and leads p behind it; false at the end.
func (s *snapshotWriter) client(p *path) bool {
	lh, r := p.place(), p.record()
	if p.i == 0 {
		s.sum += p.touchNext()
	}
	more := p.next()
	if !more || p.place() != lh || !p.record().isOf(r.duid()) {
		s.record(lh, r)
		return more
	}
	duid := r.duid()
	s.chunk = s.chunk[:0]
	for {
		for e := range r.all {
			s.entry(lh, duid, r.unpack(e))
		}
		if !more || p.place() != lh || !p.record().isOf(duid) {
			break
		}
		r = p.record()
		more = p.next()
	}
	rec, _ := s.encoder.encode(duid, s.chunk)
	s.record(lh, rec)
	return more
}

// entry adds an entry to the record being gathered, or begins the next with it.
func (s *snapshotWriter) entry(lh uint64, duid []byte, e entry) {
	s.chunk = append(s.chunk, e)
	rec, ok := s.encoder.encode(duid, s.chunk)
	if n := len(s.chunk) - 1; n > 0 && (!ok || len(rec) > maxRecord) {
		rec, _ = s.encoder.encode(duid, s.chunk[:n])
		s.record(lh, rec)
		s.chunk[0] = s.chunk[n]
		s.chunk = s.chunk[:1]
	}
}

func (s *snapshotWriter) record(lh uint64, r record) {
	s.buf = binary.LittleEndian.AppendUint16(s.buf, uint16(len(r)))
	s.buf = binary.LittleEndian.AppendUint64(s.buf, lh)
	s.buf = append(s.buf, r...)
	s.records++
	s.flush(snapshotBuffer)
}

// readPosition reads what appendSource wrote of how far a sweep has got, but for the DUID.
func readPosition(b []byte) (at position) {
	at.place = binary.LittleEndian.Uint64(b)
	at.order.kind = binding.Kind(b[8])
	copy(at.order.octets[:], b[9:25])
	at.order.bits = b[25]
	at.order.mark = binary.LittleEndian.Uint64(b[26:])
	return at
}
