package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm/binding"
)

// sample is a log with some of everything.
func sample(t testingT) []*raft.Log {
	b := newLog(t)
	s := Session{Source: "kea", Epoch: 7}
	next := func() Session { s.Sequence++; return s }
	b.settings(testSettings)
	b.changes(next(), defineLink("lan", "2001:db8:a::/48", "7"), upsert(1), upsert(2))
	b.begin(next(), true)
	b.changes(next(), upsert(1), release(2))
	b.put(raft.LogConfiguration, nil)
	b.changes(Session{Source: "dnsmasq", Epoch: 1, Sequence: 1}, upsert(9))
	b.clock += 5000
	b.tick(10)
	return b.logs
}

func TestRestoreBringsEverythingBack(t *testing.T) {
	f := newFSM(t)
	logs := sample(t)
	f.ApplyBatch(logs)
	snapshot := snapshotOf(t, f)
	var told []string
	g := New(Config{Applied: func(index uint64, clock binding.Time) { told = append(told, fmt.Sprint(index, clock)) }})
	apply(t, g, newLog(t).changes(Session{Source: "old", Epoch: 1, Sequence: 1}, upsert(77)))
	before := g.View()
	defer before.Release()
	if err := g.Restore(io.NopCloser(iotest.OneByteReader(bytes.NewReader(snapshot)))); err != nil {
		t.Fatal(err)
	}
	if before.Len() != 1 || before.Index() != 1 {
		t.Errorf("the view taken before shows %d bindings at %d", before.Len(), before.Index())
	}
	if diff := cmp.Diff(f.Sources(), g.Sources()); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(testSettings, g.Settings()); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if f.Applied() != g.Applied() || f.Clock() != g.Clock() || g.Applied() != uint64(len(logs)) {
		t.Errorf("applied %d at %d, want %d at %d", g.Applied(), g.Clock(), f.Applied(), f.Clock())
	}
	if diff := cmp.Diff([]string{fmt.Sprint(1, start), fmt.Sprint(len(logs), start+5000)}, told); diff != "" {
		t.Errorf("told of what was applied (-want +got):\n%s", diff)
	}
	if again := snapshotOf(t, g); !bytes.Equal(again, snapshot) {
		t.Errorf("written again it differs at octet %d", firstDifference(again, snapshot))
	}
}

func TestSnapshotOfNothing(t *testing.T) {
	g := restore(t, snapshotOf(t, newFSM(t)))
	if g.Applied() != 0 || g.Settings().ClusterID != "" || len(g.Sources()) != 0 {
		t.Errorf("applied %d, settings %+v, sources %v", g.Applied(), g.Settings(), g.Sources())
	}
}

// refused restores from octets that must be refused, into a machine that must stay as it is, and is the error.
func refused(t *testing.T, f *FSM, snapshot []byte) error {
	t.Helper()
	before, clock := f.store.Load(), f.Clock()
	err := f.Restore(io.NopCloser(bytes.NewReader(snapshot)))
	if err == nil {
		t.Fatal("restored")
	}
	if f.store.Load() != before || f.Clock() != clock {
		t.Fatal("the state has changed")
	}
	return err
}

func TestDamagedSnapshotIsRefused(t *testing.T) {
	f := newFSM(t)
	f.ApplyBatch(sample(t))
	good := snapshotOf(t, f)
	t.Run("every octet changed", func(t *testing.T) {
		for i := range good {
			for _, flip := range []byte{1 << (i % 8), 0xff} {
				bad := bytes.Clone(good)
				bad[i] ^= flip
				if err := refused(t, f, bad); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
					t.Fatalf("octet %d ^ %#x: error %v", i, flip, err)
				}
			}
		}
	})
	t.Run("cut anywhere", func(t *testing.T) {
		for n := range good {
			if err := refused(t, f, good[:n]); !errors.Is(err, ErrCorrupt) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut at %d of %d: error %v", n, len(good), err)
			}
		}
	})
	t.Run("octets behind", func(t *testing.T) {
		if err := refused(t, f, append(bytes.Clone(good), 0)); !strings.Contains(err.Error(), "snapshot: end: corrupt: octets follow") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a failing disk", func(t *testing.T) {
		broken := errors.New("broken disk")
		err := f.Restore(io.NopCloser(io.MultiReader(bytes.NewReader(good[:len(good)/2]), iotest.ErrReader(broken))))
		if !errors.Is(err, broken) {
			t.Errorf("error %v, want %v", err, broken)
		}
	})
}

// blocksOf takes a snapshot apart: the header, and the blocks.
func blocksOf(snapshot []byte) (head []byte, blocks [][]byte) {
	head, rest := snapshot[:snapshotHeader], snapshot[snapshotHeader:]
	for len(rest) > 0 {
		n := blockHeader + int(binary.BigEndian.Uint32(rest[5:]))
		blocks = append(blocks, bytes.Clone(rest[:n]))
		rest = rest[n:]
	}
	return head, blocks
}

// joined puts a snapshot together, with checksums that fit.
func joined(head []byte, blocks ...[]byte) []byte {
	head = bytes.Clone(head)
	binary.BigEndian.PutUint32(head[52:], crc32.Checksum(head[:52], castagnoli))
	out := head
	for _, b := range blocks {
		b = bytes.Clone(b)
		binary.BigEndian.PutUint32(b[5:], uint32(len(b)-blockHeader))
		binary.BigEndian.PutUint32(b[9:], blockChecksum(head[52:], b, b[blockHeader:]))
		out = append(out, b...)
	}
	return out
}

func TestSnapshotThatDoesNotFitTogetherIsRefused(t *testing.T) {
	f := newFSM(t)
	f.ApplyBatch(sample(t))
	head, blocks := blocksOf(snapshotOf(t, f))
	if len(blocks) != 4 {
		t.Fatalf("%d blocks", len(blocks))
	}
	settings, sessions, bindings, end := blocks[0], blocks[1], blocks[2], blocks[3]
	with := func(b []byte, at int, value byte) []byte { b = bytes.Clone(b); b[at] = value; return b }
	numbered := func(b []byte, n byte) []byte { return with(b, 4, n) }
	for name, tc := range map[string]struct {
		snapshot []byte
		text     string
	}{
		"text":                     {[]byte(strings.Repeat("not a snapshot ", 10)), "snapshot: header: corrupt: magic"},
		"newer version":            {joined(with(head, 9, 4), blocks...), "snapshot: header: format version not known here: version 4, this node reads versions up to 3: run the newer version"},
		"newer level":              {joined(with(with(head, 9, 3), 11, 5), blocks...), "snapshot: header: format version not known here: written at level 5, this node reads levels up to 4: run the newer version"},
		"version 2 at level 1":     {joined(with(head, 9, 2), blocks...), "snapshot: header: corrupt: version and level 00020000"},
		"version 2 at level 3":     {joined(with(with(head, 9, 2), 11, 3), blocks...), "snapshot: header: corrupt: version and level 00020003"},
		"version 1 at level 2":     {joined(with(head, 11, 2), blocks...), "snapshot: header: corrupt: version and level 00010002"},
		"version 0":                {joined(with(head, 9, 0), blocks...), "snapshot: header: corrupt: version and level 00000000"},
		"no rolling hash":          {joined(with(with(head, 9, 2), 11, 2), blocks...), "snapshot: block 2: corrupt: section 255, want 4"},
		"header changed":           {append(with(head, 30, 77), bytes.Join(blocks, nil)...), "snapshot: header: corrupt: checksum"},
		"clock past all time":      {joined(with(head, 44, 1), blocks...), "snapshot: header: corrupt: clock"},
		"another cluster's header": {joined(with(head, 12, 99), blocks...), "header of cluster 6393b3a4-"},
		"a block is missing":       {joined(head, settings, sessions, end), "snapshot: block 2: corrupt: numbered 3"},
		"a block comes twice":      {joined(head, settings, settings, sessions, bindings, end), "snapshot: block 1: corrupt: numbered 0"},
		"one block too many":       {joined(head, settings, numbered(settings, 1), numbered(sessions, 2), numbered(bindings, 3), end), "snapshot: settings: corrupt"},
		"sections swapped":         {joined(head, numbered(sessions, 0), numbered(settings, 1), bindings, end), "snapshot: block 0: corrupt: section 2, want 1"},
		"a section goes back":      {joined(head, settings, sessions, bindings, numbered(sessions, 3), end), "snapshot: "},
		"unknown section":          {joined(head, settings, sessions, with(bindings, 0, 9), end), "snapshot: block 2: corrupt: section 9, want 3"},
		"totals":                   {joined(head, settings, sessions, bindings, with(end, blockHeader+7, 9)), "snapshot: end: corrupt: totals"},
		"bindings cut":             {joined(head, settings, sessions, bindings[:len(bindings)-9], end), "snapshot: bindings: "},
		"bindings too long":        {joined(head, settings, sessions, append(bytes.Clone(bindings), 1, 2), end), "snapshot: "},
		"sources out of order":     {joined(head, settings, with(sessions, blockHeader+2, 'z'), bindings, end), "snapshot: sources: corrupt: order of sources"},
		"a block of a megabyte and more": {func() []byte {
			b := joined(head, settings)
			binary.BigEndian.PutUint32(b[snapshotHeader+5:], maxBlock+1)
			return b
		}(), "snapshot: block 0: corrupt: 1048577 octets, more than 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := refused(t, f, tc.snapshot); !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %q, want %q", err, tc.text)
			}
		})
	}
	if err := f.Restore(io.NopCloser(bytes.NewReader(joined(head, blocks...)))); err != nil {
		t.Errorf("put together unchanged: %v", err)
	}
}

func TestBlocksOfTwoSnapshotsDoNotMix(t *testing.T) {
	f := newFSM(t)
	f.ApplyBatch(sample(t))
	_, old := blocksOf(snapshotOf(t, f))
	b := newLog(t)
	b.logs = sample(t)
	apply(t, f, b.tick(0))
	head, blocks := blocksOf(snapshotOf(t, f))
	mixed := bytes.Join([][]byte{head, blocks[0], blocks[1], old[2], blocks[3]}, nil)
	if err := refused(t, f, mixed); !strings.Contains(err.Error(), "block 2: corrupt: checksum mismatch") {
		t.Errorf("error %v", err)
	}
}

func TestPersistGivesUpWhenTheDiskIsFull(t *testing.T) {
	f := newFSM(t)
	f.ApplyBatch(sample(t))
	whole := len(snapshotOf(t, f))
	for room := 1; room < whole; room += 7 {
		snap, err := f.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		s := sink{room: room}
		if err := snap.Persist(&s); !errors.Is(err, errFull) || s.closed || !s.cancelled {
			t.Fatalf("room for %d octets of %d: error %v, closed %v, cancelled %v", room, whole, err, s.closed, s.cancelled)
		}
		snap.Release()
	}
}

func TestSnapshotShowsTheMomentItWasTaken(t *testing.T) {
	f := newFSM(t)
	f.ApplyBatch(sample(t))
	want := snapshotOf(t, f)
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	b := newLog(t)
	b.logs = sample(t)
	apply(t, f, b.changes(Session{Source: "kea", Epoch: 7, Sequence: 4}, release(1), upsert(50), defineLink("wan", "2001:db8:b::/48")))
	other := testSettings
	other.CatchUp *= 2
	apply(t, f, b.settings(other))
	var s sink
	if err := snap.Persist(&s); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.Bytes(), want) {
		t.Errorf("snapshot written later differs at octet %d", firstDifference(s.Bytes(), want))
	}
}

// FuzzRestore restores from any octets, with checksums that fit.
func FuzzRestore(f *testing.F) {
	m := newFSM(f)
	f.Add(snapshotOf(f, m))
	m.ApplyBatch(sample(f))
	f.Add(snapshotOf(f, m))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > snapshotHeader {
			data = fitted(data)
		}
		m := newFSM(t)
		err := m.Restore(io.NopCloser(bytes.NewReader(data)))
		if err == nil {
			snapshotOf(t, m)
			live(m)
		}
	})
}

// fitted is the snapshot with checksums that fit, as far as its blocks are whole.
func fitted(data []byte) []byte {
	data = bytes.Clone(data)
	binary.BigEndian.PutUint32(data[52:], crc32.Checksum(data[:52], castagnoli))
	for rest := data[snapshotHeader:]; len(rest) >= blockHeader; {
		n := int(binary.BigEndian.Uint32(rest[5:]))
		if n > len(rest)-blockHeader {
			break
		}
		binary.BigEndian.PutUint32(rest[9:], blockChecksum(data[52:snapshotHeader], rest, rest[blockHeader:blockHeader+n]))
		rest = rest[blockHeader+n:]
	}
	return data
}
