package fsm

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm/binding"
)

// TestLargeSnapshot has sections of several blocks.
func TestLargeSnapshot(t *testing.T) {
	f, b, s := newFSM(t), newLog(t), Session{Source: "kea", Epoch: 1}
	feed(t, b, &s, 20_000, 0)
	f.ApplyBatch(b.logs)
	snapshot := snapshotOf(t, f)
	head, blocks := blocksOf(snapshot)
	if len(blocks) < 6 {
		t.Fatalf("%d octets in %d blocks", len(snapshot), len(blocks))
	}
	g := restore(t, snapshot)
	if again := snapshotOf(t, g); !bytes.Equal(again, snapshot) || len(live(g)) != 20_000 {
		t.Errorf("restored %d bindings, written again the snapshot differs from octet %d on", len(live(g)), firstDifference(again, snapshot))
	}
	for i := range blocks {
		rest := append(append([][]byte(nil), blocks[:i]...), blocks[i+1:]...)
		for n, b := range rest[:len(rest)-1] {
			b[4] = byte(n)
		}
		refused(t, f, joined(head, rest...))
		_, blocks = blocksOf(snapshot)
	}
}

// TestReadersDoNotDisturb reads in every way there is while entries are applied, snapshots written and one restored.
func TestReadersDoNotDisturb(t *testing.T) {
	f, b, s := newFSM(t), newLog(t), Session{Source: "kea", Epoch: 1}
	b.settings(testSettings)
	for round := range uint32(10) {
		feed(t, b, &s, 1000, round)
		b.tick(100)
	}
	last := uint64(len(b.logs))
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			before := uint64(0)
			for ctx.Err() == nil {
				applied := f.Applied()
				v := f.View()
				if v.Index() < applied || applied < before {
					t.Errorf("view at %d, applied %d, %d before", v.Index(), applied, before)
				}
				before = applied
				var c binding.Client
				n := uint64(0)
				for cursor := v.Select(binding.Query{By: binding.ByEverything}); cursor.Next(&c); {
					n += uint64(len(c.Entries))
				}
				if n != v.Len() {
					t.Errorf("%d bindings in a view of %d", n, v.Len())
				}
				v.Release()
				f.Sources()
				f.Conflicts()
				f.Session("kea", 1)
				f.Settings()
				f.Clock()
				f.MaintenanceDue()
			}
		})
	}
	readers.Go(func() {
		for index := range last + 1 {
			if err := f.Wait(t.Context(), index); err != nil {
				t.Error(err)
			}
			if f.Applied() < index {
				t.Errorf("applied %d after waiting for %d", f.Applied(), index)
			}
		}
		cancel()
	})
	var writers sync.WaitGroup
	half := len(b.logs) / 2
	for i := 0; i < half; i += 3 {
		f.ApplyBatch(b.logs[i:min(i+3, half)])
		snap, err := f.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		writers.Go(func() {
			defer snap.Release()
			if err := snap.Persist(&sink{}); err != nil {
				t.Error(err)
			}
		})
	}
	if err := f.Restore(io.NopCloser(bytes.NewReader(snapshotOf(t, f)))); err != nil {
		t.Fatal(err)
	}
	for _, l := range b.logs[half:] {
		f.ApplyBatch([]*raft.Log{l})
	}
	writers.Wait()
	readers.Wait()
	if n := len(live(f)); n != 1000 {
		t.Errorf("%d bindings", n)
	}
}
