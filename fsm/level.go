package fsm

import (
	"encoding/binary"
	"fmt"

	"github.com/hashicorp/raft"
)

// A level is a version of everything that the nodes of a cluster write for one another: which types of entry there are, and how
// a snapshot is written. A log begins at FirstLevel; an entry of its own raises it, once every member reads the next. What a
// level brings is written only while the level is active, so that a binary that does not know it can take part until then.
//
// A new level is one more number here and a row in snapshotVersions, which says how a snapshot is written at it. Whoever
// proposes a type of entry that came with a level looks at FSM.Level first.
const (
	FirstLevel  uint32 = 1 // changes, resyncs, ticks and settings
	hashedLevel uint32 = 2 // applied entries are hashed, checkpoints compare the hashes; levels can be raised
	lastLevel   uint32 = 3 // ends that no source reports keep the client's last transaction
	sweptLevel  uint32 = 4 // what a sweep has ended any source may state again
	MaxLevel    uint32 = sweptLevel
)

// snapshotVersions is the version of the snapshots that are written at each level.
var snapshotVersions = [MaxLevel + 1]uint16{FirstLevel: 1, hashedLevel: 2, lastLevel: 3, sweptLevel: 3}

// Level is the level that is active: what the log has raised it to.
func (f *FSM) Level() uint32 { return f.level.Load() }

// MaxLevel is the highest level that this state machine reads.
func (f *FSM) MaxLevel() uint32 { return MaxLevel }

// AppendLevel appends an entry that raises the active level. It may be proposed only when every member of the cluster reads the
// level: others stop at it.
func AppendLevel(dst []byte, level uint32) []byte {
	return binary.AppendUvarint(appendEntryHeader(dst, TypeLevel), uint64(level))
}

// applyLevel raises the level. A level that is active already changes nothing: two leaders may have proposed it.
func (f *FSM) applyLevel(e opened, r *Result) error {
	c := newCursor(e.payload)
	level := c.uvarint("level")
	if level < uint64(FirstLevel) {
		c.fail("level")
	}
	if err := c.err(); err != nil {
		return err
	}
	if level > uint64(MaxLevel) {
		return fmt.Errorf("%w: the cluster goes on to level %d, this version reads levels up to %d: %s", ErrVersion, level, MaxLevel, runNewer)
	}
	f.level.Store(max(f.level.Load(), uint32(level)))
	f.store.Load().Advance(r.Index, r.Clock)
	f.heedLevel()
	return nil
}

// heedLevel tells the store what the active level brings.
func (f *FSM) heedLevel() {
	if f.level.Load() >= lastLevel {
		f.store.Load().KeepLastTransaction()
	}
	if f.level.Load() >= sweptLevel {
		f.store.Load().ReviveSwept()
	}
}

// runNewer is what to do about entries and snapshots of a format that is not known here.
const runNewer = "run the newer version on this node, as on the others"

// follow takes an applied command into the rolling hash, if the level has one.
func (f *FSM) follow(l *raft.Log, kind Type) {
	if f.level.Load() < hashedLevel {
		return
	}
	f.chain = chained(f.chain, l)
	if kind == TypeCheckpoint || f.mark.Index == 0 {
		f.remember(Checkpoint{Index: l.Index, Hash: f.chain})
		return
	}
	f.news.Add(weight(kind))
}
