package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/leasehold/leasehold/fsm/binding"
)

// A snapshot is a header and blocks. Numbers are big endian.
//
//	 0 magic       8  "LHSNAP\r\n"
//	 8 version     2  1 or 2
//	10 level       2  the active level; zero in version 1, which is written at level 1
//	12 cluster    16  the cluster's UUID; zero before the cluster was founded
//	28 index       8  of the newest applied entry
//	36 term        8  of that entry
//	44 clock       8  closed time, milliseconds since 1970
//	52 crc         4  CRC-32C over the 52 octets before
//
// A block:
//
//	 0 section     1  what it is part of; sections come in the order of their numbers
//	 1 number      4  blocks before it
//	 5 length      4  octets of data, at most 1 MiB
//	 9 crc         4  CRC-32C over the header's crc, the 9 octets before and the data: a block of another snapshot does not fit
//	13 data
//
// The last block is of section 255: the number of blocks before it, 8 octets, and of octets of data in them, 8. Nothing follows.
const (
	snapshotMagic  = "LHSNAP\r\n"
	snapshotHeader = 56
	blockHeader    = 13
	maxBlock       = 1 << 20

	sectionSettings = 1   // as in a settings entry; no data before the cluster is founded
	sectionSources  = 2   // the sessions of sources
	sectionStore    = 3   // the binding store
	sectionChain    = 4   // the rolling hash; not in version 1
	sectionEnd      = 255 // the totals
)

// header is what a snapshot begins with.
type header struct {
	level       uint32
	cluster     [16]byte
	index, term uint64
	clock       binding.Time
}

// versionOf is the version and the level in the header of a snapshot that is written at a level.
func versionOf(level uint32) []byte {
	b := binary.BigEndian.AppendUint16(nil, snapshotVersions[level])
	if level == FirstLevel {
		return append(b, 0, 0) // as those wrote it who knew no levels
	}
	return binary.BigEndian.AppendUint16(b, uint16(level))
}

// levelOf is versionOf backwards.
func levelOf(b []byte) (uint32, error) {
	level := max(uint32(binary.BigEndian.Uint16(b[2:])), FirstLevel)
	if level > MaxLevel {
		return 0, fmt.Errorf("%w: written at level %d, this node reads levels up to %d: %s", ErrVersion, level, MaxLevel, runNewer)
	}
	if want := versionOf(level); string(b) != string(want) {
		return 0, fmt.Errorf("%w: version and level %x, want %x", ErrCorrupt, b, want)
	}
	return level, nil
}

// blockWriter writes a snapshot.
type blockWriter struct {
	w     io.Writer
	seed  []byte // the header's checksum
	data  []byte // of the block begun
	block []byte // room for its header
	kind  byte
	n     uint64 // blocks written
	total uint64 // octets of data in them
}

func newBlockWriter(w io.Writer, h header) (*blockWriter, error) {
	b := make([]byte, 0, snapshotHeader)
	b = append(b, snapshotMagic...)
	b = append(b, versionOf(h.level)...)
	b = append(b, h.cluster[:]...)
	b = binary.BigEndian.AppendUint64(b, h.index)
	b = binary.BigEndian.AppendUint64(b, h.term)
	b = binary.BigEndian.AppendUint64(b, uint64(h.clock))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	return &blockWriter{w: w, seed: b[snapshotHeader-4:], block: make([]byte, blockHeader), data: make([]byte, 0, maxBlock)}, nil
}

// section ends the section before and begins another, even if no data follow.
func (b *blockWriter) section(kind byte) error {
	if b.kind != 0 {
		if err := b.flush(); err != nil {
			return err
		}
	}
	b.kind = kind
	return nil
}

// Write adds data to the section.
func (b *blockWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if len(b.data) == maxBlock {
			if err := b.flush(); err != nil {
				return 0, err
			}
		}
		fits := min(len(p), maxBlock-len(b.data))
		b.data = append(b.data, p[:fits]...)
		p = p[fits:]
	}
	return n, nil
}

// flush writes the block begun, be it empty.
func (b *blockWriter) flush() error {
	h := b.block
	h[0] = b.kind
	binary.BigEndian.PutUint32(h[1:], uint32(b.n))
	binary.BigEndian.PutUint32(h[5:], uint32(len(b.data)))
	binary.BigEndian.PutUint32(h[9:], blockChecksum(b.seed, h, b.data))
	if _, err := b.w.Write(h); err != nil {
		return err
	}
	if _, err := b.w.Write(b.data); err != nil {
		return err
	}
	b.n++
	b.total += uint64(len(b.data))
	b.data = b.data[:0]
	return nil
}

// close ends the snapshot.
func (b *blockWriter) close() error {
	if err := b.section(sectionEnd); err != nil {
		return err
	}
	b.data = binary.BigEndian.AppendUint64(b.data, b.n)
	b.data = binary.BigEndian.AppendUint64(b.data, b.total)
	return b.flush()
}

func blockChecksum(seed, head, data []byte) uint32 {
	c := crc32.Update(crc32.Checksum(seed, castagnoli), castagnoli, head[:9])
	return crc32.Update(c, castagnoli, data)
}

// blockReader reads a snapshot, and nothing of a block before its checksum was verified.
type blockReader struct {
	r     io.Reader
	seed  []byte
	block [blockHeader]byte
	buf   []byte // the newest block's data
	data  []byte // what of it was not read yet
	kind  byte   // its section
	want  byte   // the section that Read reads
	n     uint64 // blocks read
	total uint64
	err   error // why nothing more can be read
}

// newBlockReader reads the header.
func newBlockReader(r io.Reader) (*blockReader, header, error) {
	b := make([]byte, snapshotHeader)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, header{}, fmt.Errorf("header: %w", truncated(err))
	}
	if string(b[:8]) != snapshotMagic {
		return nil, header{}, fmt.Errorf("header: %w: magic %x, want %x", ErrCorrupt, b[:8], snapshotMagic)
	}
	if v, reads := binary.BigEndian.Uint16(b[8:]), snapshotVersions[MaxLevel]; v > reads {
		return nil, header{}, fmt.Errorf("header: %w: version %d, this node reads versions up to %d: %s", ErrVersion, v, reads, runNewer)
	}
	stored := binary.BigEndian.Uint32(b[52:])
	if sum := crc32.Checksum(b[:52], castagnoli); sum != stored {
		return nil, header{}, fmt.Errorf("header: %w: checksum mismatch", ErrCorrupt)
	}
	level, err := levelOf(b[8:12])
	if err != nil {
		return nil, header{}, fmt.Errorf("header: %w", err)
	}
	h := header{
		level:   level,
		cluster: [16]byte(b[12:]),
		index:   binary.BigEndian.Uint64(b[28:]),
		term:    binary.BigEndian.Uint64(b[36:]),
		clock:   binding.Time(binary.BigEndian.Uint64(b[44:])),
	}
	if h.clock < 0 || h.clock > maxClock {
		return nil, header{}, fmt.Errorf("header: %w: clock %d", ErrCorrupt, h.clock)
	}
	return &blockReader{r: r, seed: b[52:]}, h, nil
}

// truncated makes an end of file in the midst of something an error of a corrupt snapshot.
func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: cut short: %w", ErrCorrupt, io.ErrUnexpectedEOF)
	}
	return err
}

// next reads one block.
func (b *blockReader) next() error {
	if b.err == nil {
		if err := b.readBlock(); err != nil {
			b.err = fmt.Errorf("block %d: %w", b.n, err)
		}
	}
	return b.err
}

func (b *blockReader) readBlock() error {
	h := b.block[:]
	if _, err := io.ReadFull(b.r, h); err != nil {
		return truncated(err)
	}
	number, length := binary.BigEndian.Uint32(h[1:]), binary.BigEndian.Uint32(h[5:])
	if length > maxBlock {
		return fmt.Errorf("%w: %d octets, more than %d", ErrCorrupt, length, maxBlock)
	}
	if cap(b.buf) < int(length) {
		b.buf = make([]byte, maxBlock)
	}
	b.data = b.buf[:length]
	if _, err := io.ReadFull(b.r, b.data); err != nil {
		return truncated(err)
	}
	switch {
	case binary.BigEndian.Uint32(h[9:]) != blockChecksum(b.seed, h, b.data):
		return fmt.Errorf("%w: checksum mismatch", ErrCorrupt)
	case number != uint32(b.n):
		return fmt.Errorf("%w: numbered %d", ErrCorrupt, number)
	case h[0] < b.kind:
		return fmt.Errorf("%w: section %d after section %d", ErrCorrupt, h[0], b.kind)
	}
	if b.kind = h[0]; b.kind != sectionEnd {
		b.n++
		b.total += uint64(length)
	}
	return nil
}

// section begins to read a section. All of the section before must have been read.
func (b *blockReader) section(kind byte) error {
	if err := b.drained(); err != nil {
		return err
	}
	if b.kind != kind {
		b.err = fmt.Errorf("block %d: %w: section %d, want %d", max(b.n, 1)-1, ErrCorrupt, b.kind, kind)
		return b.err
	}
	b.want = kind
	return nil
}

// drained tells that the section begun has no more data, and reads the first block of the next.
func (b *blockReader) drained() error {
	if b.err == nil && b.kind == b.want && len(b.data) > 0 {
		b.err = fmt.Errorf("block %d: %w: %d octets too many in section %d", b.n-1, ErrCorrupt, len(b.data), b.kind)
	}
	if b.err == nil && b.kind == b.want {
		if b.next() == nil && b.kind == b.want {
			b.err = fmt.Errorf("block %d: %w: one too many of section %d", b.n-1, ErrCorrupt, b.kind)
		}
	}
	return b.err
}

// Read reads the section's data; io.EOF at its end.
func (b *blockReader) Read(p []byte) (int, error) {
	for len(b.data) == 0 || b.kind != b.want {
		if b.kind != b.want {
			return 0, io.EOF
		}
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	return n, nil
}

// close verifies the totals, and that nothing follows.
func (b *blockReader) close() error {
	if err := b.section(sectionEnd); err != nil {
		return err
	}
	want := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, b.n), b.total)
	if string(b.data) != string(want) {
		return fmt.Errorf("end: %w: totals %x, want %x", ErrCorrupt, b.data, want)
	}
	var one [1]byte
	switch n, err := io.ReadFull(b.r, one[:]); {
	case n > 0:
		return fmt.Errorf("end: %w: octets follow", ErrCorrupt)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("end: %w", err)
	}
	return nil
}
