package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/hashicorp/raft"
)

// Checkpoint is a state machine's rolling hash of the entries that it has applied, up to and with the one at an index.
type Checkpoint struct {
	Index uint64 // of a checkpoint entry, or of the entry that raised the level from which on entries are hashed; 0: none yet
	Hash  uint64
}

// String is the index and the hash in hexadecimal.
func (c Checkpoint) String() string { return fmt.Sprintf("%d:%016x", c.Index, c.Hash) }

// ErrDiverged is wrapped by errors about a state machine that has applied other entries than a majority of the voters.
var ErrDiverged = errors.New("diverged from the cluster")

// DivergedError tells that a state machine has applied other entries than a majority of the voters. Nothing tells which of the
// entries up to the index is the first that differs.
type DivergedError struct {
	Own    Checkpoint // of this node
	Agreed Checkpoint // of a majority of the voters
}

// Error names the checkpoint and both hashes.
func (e *DivergedError) Error() string {
	if e.Own.Index != e.Agreed.Index {
		return fmt.Sprintf("%v: a majority of the voters has a checkpoint at log entry %d (hash %016x), this node's newest is at %d",
			ErrDiverged, e.Agreed.Index, e.Agreed.Hash, e.Own.Index)
	}
	return fmt.Sprintf("%v: up to log entry %d this node's entries have hash %016x, those of a majority of the voters %016x",
		ErrDiverged, e.Agreed.Index, e.Own.Hash, e.Agreed.Hash)
}

// Unwrap is ErrDiverged.
func (e *DivergedError) Unwrap() error { return ErrDiverged }

// Check compares the checkpoint of a state machine that has applied the agreed one's entry with it. It is nil, or a
// *DivergedError. An agreed checkpoint older than c says nothing: what it has to say c says too.
func (c Checkpoint) Check(agreed Checkpoint) error {
	if c.Index > agreed.Index || c == agreed {
		return nil
	}
	return &DivergedError{Own: c, Agreed: agreed}
}

// AppendCheckpoint appends an entry that says what a majority of the voters has at the newest checkpoint. Every state machine
// compares it with its own and remembers its hash at this entry for the next. The level must be active.
func AppendCheckpoint(dst []byte, agreed Checkpoint) []byte {
	dst = binary.AppendUvarint(appendEntryHeader(dst, TypeCheckpoint), agreed.Index)
	return binary.BigEndian.AppendUint64(dst, agreed.Hash)
}

// Checkpoint is the newest checkpoint: it stays the same until the next checkpoint entry, so that nodes can be compared while
// entries are applied. due tells whether another is worth an entry: for what was applied since, or for what this one has that
// none confirms yet.
func (f *FSM) Checkpoint() (c Checkpoint, due bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mark, f.mark.Index != 0 && (f.covered >= enoughNews || f.news.Load() >= enoughNews)
}

// applyCheckpoint compares. A state machine that differs tells so and goes on: what it applies is shown to nobody any more.
func (f *FSM) applyCheckpoint(e opened, r *Result) error {
	c := newCursor(e.payload)
	agreed := Checkpoint{Index: c.uvarint("index of the checkpoint"), Hash: c.uint64("hash")}
	if agreed.Index == 0 || agreed.Index >= r.Index {
		c.fail("index of the checkpoint")
	}
	if err := c.err(); err != nil {
		return err
	}
	if err := f.mark.Check(agreed); err != nil {
		f.diverge(err)
	}
	f.store.Load().Advance(r.Index, r.Clock)
	return nil
}

// diverge tells that this state machine differs.
func (f *FSM) diverge(err error) {
	if f.config.Diverged == nil {
		panic(err)
	}
	f.config.Diverged(err)
}

// remember makes c the newest checkpoint.
func (f *FSM) remember(c Checkpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mark = c
	f.covered = f.news.Swap(0)
}

// A checkpoint is worth an entry when what was applied weighs so much: one entry of any kind, or as many ticks, of which an idle
// cluster has one a second.
const enoughNews = 64

// weight is what an applied entry counts for when the next checkpoint is due.
func weight(t Type) uint64 {
	if t == TypeTick {
		return 1
	}
	return enoughNews
}

// chained is the rolling hash after a command, from the one before it: over the index, the term and the length, 8 octets each,
// big endian, and the header of the entry, whose checksum was verified and stands for the payload. What is no command is not in
// it: Raft shows its own entries to no state machine, and those of the membership not to one that is rebuilt after a lost quorum.
func chained(before uint64, l *raft.Log) uint64 {
	var room [4*8 + entryHeader]byte
	b := binary.BigEndian.AppendUint64(room[:0], before)
	b = binary.BigEndian.AppendUint64(b, l.Index)
	b = binary.BigEndian.AppendUint64(b, l.Term)
	b = binary.BigEndian.AppendUint64(b, uint64(len(l.Data)))
	return xxhash.Sum64(append(b, l.Data[:entryHeader]...))
}

// The octets of the rolling hash in a snapshot, 8 each: the hash of the newest command, the index and the hash of the newest
// checkpoint.
func appendChain(dst []byte, chain uint64, mark Checkpoint) []byte {
	dst = binary.BigEndian.AppendUint64(dst, chain)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, mark.Index), mark.Hash)
}

func parseChain(b []byte) (chain uint64, mark Checkpoint, err error) {
	c := newCursor(b)
	chain = c.uint64("rolling hash")
	mark = Checkpoint{Index: c.uint64("index of the checkpoint"), Hash: c.uint64("hash of the checkpoint")}
	if mark.Index == 0 {
		c.fail("index of the checkpoint")
	}
	return chain, mark, c.err()
}
