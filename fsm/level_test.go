package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// raise is an entry that makes level 2 active.
func (b *builder) raise() *raft.Log { return b.add(AppendLevel(nil, hashedLevel), nil) }

// TestNothingOfALevelIsWrittenBeforeIt holds what nodes of the level before must read to what they wrote themselves.
func TestNothingOfALevelIsWrittenBeforeIt(t *testing.T) {
	f := newFSM(t)
	f.ApplyBatch(sample(t))
	before := snapshotOf(t, f)
	if f.Level() != 1 || before[9] != 1 || before[11] != 0 {
		t.Errorf("level %d, snapshot of version %d, level octet %d", f.Level(), before[9], before[11])
	}
	if c, due := f.Checkpoint(); c != (Checkpoint{}) || due {
		t.Errorf("checkpoint %v, due %v at level 1", c, due)
	}
	b := newLog(t)
	b.logs = sample(t)
	if r := apply(t, f, b.raise()); r.Err != nil || f.Level() != 2 {
		t.Errorf("raised: %+v, level %d", r, f.Level())
	}
	after := snapshotOf(t, f)
	if after[9] != 2 || after[11] != 2 {
		t.Errorf("snapshot of version %d, level octet %d, want 2", after[9], after[11])
	}
	if g := restore(t, after); g.Level() != 2 {
		t.Errorf("restored at level %d", g.Level())
	}
}

func TestLevelIsRaisedOnce(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	apply(t, f, b.add(AppendLevel(nil, 1), nil))
	if c, _ := f.Checkpoint(); f.Level() != 1 || c.Index != 0 {
		t.Errorf("level %d, checkpoint %v after an entry that raises nothing", f.Level(), c)
	}
	apply(t, f, b.raise())
	first, _ := f.Checkpoint()
	apply(t, f, b.raise())
	apply(t, f, b.add(AppendLevel(nil, 1), nil))
	if c, _ := f.Checkpoint(); f.Level() != 2 || first.Index != 2 || c != first {
		t.Errorf("level %d, checkpoint %v, want %v of the entry that raised the level", f.Level(), c, first)
	}
	if v := f.View(); v.Index() != 4 || f.Applied() != 4 {
		t.Errorf("view at %d, applied %d, want 4", v.Index(), f.Applied())
	} else {
		v.Release()
	}
}

func TestHaltsAtAnEntryOfALevelThatCannotBeRead(t *testing.T) {
	level := func(n uint64) []byte {
		e := binary.AppendUvarint(appendEntryHeader(nil, TypeLevel), n)
		Seal(e, start)
		return e
	}
	longer := func(e []byte) []byte { return reseal(append(bytes.Clone(e), 0)) }
	checkpoint := func(index, hash uint64) []byte {
		e := AppendCheckpoint(nil, Checkpoint{index, hash})
		Seal(e, start)
		return e
	}
	for name, tc := range map[string]struct {
		data   []byte
		reason error
		text   string
	}{
		"next level":                {level(uint64(MaxLevel) + 1), ErrVersion, "(level): format version not known here: the cluster goes on to level 5, this version reads levels up to 4: run the newer version"},
		"a level of 33 bits":        {level(1<<32 + 1), ErrVersion, "level 4294967297"},
		"level 0":                   {level(0), ErrCorrupt, "level at offset"},
		"level with octets behind":  {longer(level(2)), ErrCorrupt, "1 octets too many"},
		"checkpoint of nothing":     {checkpoint(0, 1), ErrCorrupt, "(checkpoint): corrupt: index of the checkpoint"},
		"checkpoint of itself":      {checkpoint(77, 1), ErrCorrupt, "index of the checkpoint"},
		"checkpoint cut":            {reseal(checkpoint(5, 1)[:entryHeader+6]), ErrCorrupt, "hash at offset 1"},
		"checkpoint with one more":  {longer(checkpoint(5, 1)), ErrCorrupt, "1 octets too many"},
		"a type of the next level":  {reseal(append(appendEntryHeader(nil, 8), 1)), ErrVersion, "(type 8): format version not known here: a type of entry that this node does not know: run the newer version"},
		"a version of the next one": {func() []byte { e := level(1); e[offVersion] = 2; return reseal(e) }(), ErrVersion, "this node reads version 1: run the newer version"},
	} {
		t.Run(name, func(t *testing.T) {
			err := halted(t, &raft.Log{Index: 77, Term: 1, Type: raft.LogCommand, Data: tc.data})
			if !errors.Is(err, tc.reason) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %v, want one that wraps %v and says %q", err, tc.reason, tc.text)
			}
		})
	}
}

func TestRollingHashInASnapshotIsChecked(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	apply(t, f, b.raise())
	head, blocks := blocksOf(snapshotOf(t, f))
	if len(blocks) != 5 {
		t.Fatalf("%d blocks", len(blocks))
	}
	chain := blocks[3]
	set := func(at int, value byte) []byte { c := bytes.Clone(chain); c[blockHeader+at] = value; return c }
	for name, tc := range map[string]struct {
		chain []byte
		text  string
	}{
		"cut":        {chain[:len(chain)-1], "snapshot: rolling hash: corrupt: hash of the checkpoint at offset 16"},
		"longer":     {append(bytes.Clone(chain), 0), "snapshot: rolling hash: corrupt: 1 octets too many"},
		"at entry 0": {set(15, 0), "snapshot: rolling hash: corrupt: index of the checkpoint"},
	} {
		if err := refused(t, f, joined(head, blocks[0], blocks[1], blocks[2], tc.chain, blocks[4])); !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: error %q, want %q", name, err, tc.text)
		}
	}
}
