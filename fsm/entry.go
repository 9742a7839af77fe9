package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Limits on one entry of the log.
const (
	MaxEntry   = 256 << 10 // octets, header included
	MaxChanges = 1024      // changes in an entry
	MaxSource  = 255       // octets of a source's name
)

// ErrCorrupt is wrapped by every error about octets that are not what this package writes.
var ErrCorrupt = errors.New("corrupt")

// ErrVersion is wrapped by errors about entries and snapshots of a format that this version does not know.
var ErrVersion = errors.New("format version not known here")

// Type tells what an entry does.
type Type uint8

// The types of entry. Their numbers are in every log and never change.
const (
	TypeChanges     Type = 1 // changes of one source
	TypeResyncBegin Type = 2 // a source begins to state everything it has
	TypeResyncEnd   Type = 3 // it has stated everything
	TypeTick        Type = 4 // time goes on; what is due expires
	TypeSettings    Type = 5 // settings of the cluster
	TypeLevel       Type = 6 // the format level is raised; came with level 2
	TypeCheckpoint  Type = 7 // what a majority of the voters has applied; came with level 2
)

var typeNames = [...]string{"", "changes", "resync-begin", "resync-end", "tick", "settings", "level", "checkpoint"}

// String is the type in lower case.
func (t Type) String() string {
	if t > 0 && int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// An entry is a header and a payload. Numbers are big endian.
//
//	 0 magic     2  "LH"
//	 2 version   1  1
//	 3 type      1
//	 4 flags     1  1: a node that does not know the type may ignore the entry, apart from its clock
//	 5 reserved  3  zero
//	 8 clock     8  milliseconds since 1970: the leader's cluster time when it proposed the entry
//	16 crc       4  CRC-32C over the 16 octets before and the payload behind
//	20 payload
const (
	entryMagic   = "LH"
	entryVersion = 1
	entryHeader  = 20

	offVersion = 2
	offType    = 3
	offFlags   = 4
	offClock   = 8
	offCRC     = 16

	flagIgnorable = 1
)

// maxClock is the last cluster time that is believed, in the year 2527: the store numbers changes in what is left of 64 bits.
const maxClock binding.Time = 1<<44 - 1

// castagnoli is read-only.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendEntryHeader(dst []byte, t Type) []byte {
	dst = append(dst, entryMagic...)
	dst = append(dst, entryVersion, byte(t), 0, 0, 0, 0)
	return append(dst, make([]byte, entryHeader-offClock)...)
}

// Seal writes the clock and the checksum into a finished entry. The leader does so just before it hands the entry to Raft: an
// entry that was not sealed is corrupt.
func Seal(entry []byte, clock binding.Time) {
	binary.BigEndian.PutUint64(entry[offClock:], uint64(min(max(clock, 0), maxClock)))
	binary.BigEndian.PutUint32(entry[offCRC:], checksum(entry))
}

func checksum(entry []byte) uint32 {
	return crc32.Update(crc32.Checksum(entry[:offCRC], castagnoli), castagnoli, entry[entryHeader:])
}

// opened is an entry with its header read.
type opened struct {
	kind      Type
	ignorable bool
	clock     binding.Time
	payload   []byte
}

// open reads an entry's header. The error wraps ErrCorrupt or ErrVersion.
func open(entry []byte) (opened, error) {
	switch {
	case len(entry) < entryHeader:
		return opened{}, fmt.Errorf("%w: %d octets, a header has %d", ErrCorrupt, len(entry), entryHeader)
	case string(entry[:len(entryMagic)]) != entryMagic:
		return opened{}, fmt.Errorf("%w: magic %x, want %x", ErrCorrupt, entry[:len(entryMagic)], entryMagic)
	case entry[offVersion] != entryVersion:
		return opened{kind: Type(entry[offType])}, fmt.Errorf("%w: entry of version %d, this node reads version %d: %s",
			ErrVersion, entry[offVersion], entryVersion, runNewer)
	}
	e := opened{
		kind:      Type(entry[offType]),
		ignorable: entry[offFlags]&flagIgnorable != 0,
		clock:     binding.Time(binary.BigEndian.Uint64(entry[offClock:])),
		payload:   entry[entryHeader:],
	}
	stored := binary.BigEndian.Uint32(entry[offCRC:])
	switch sum := checksum(entry); {
	case len(entry) > MaxEntry:
		return e, fmt.Errorf("%w: %d octets, more than %d", ErrCorrupt, len(entry), MaxEntry)
	case stored != sum:
		return e, fmt.Errorf("%w: checksum %08x, computed %08x", ErrCorrupt, stored, sum)
	case entry[offFlags]&^flagIgnorable != 0 || entry[5]|entry[6]|entry[7] != 0:
		return e, fmt.Errorf("%w: flags %x", ErrCorrupt, entry[offFlags:offClock])
	case e.clock < 0 || e.clock > maxClock:
		return e, fmt.Errorf("%w: clock %d", ErrCorrupt, e.clock)
	}
	return e, nil
}

// EntryError is why a node cannot apply an entry of its log, and stops.
type EntryError struct {
	Index uint64 // of the entry in the log
	Type  Type   // as far as it could be read
	Err   error  // wraps ErrCorrupt, or ErrVersion if a newer version could apply it
}

// Error names the entry and says why.
func (e *EntryError) Error() string {
	return fmt.Sprintf("log entry %d (%v): %v: not applied, for this node would differ from the others", e.Index, e.Type, e.Err)
}

// Unwrap is the reason.
func (e *EntryError) Unwrap() error { return e.Err }
