package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
)

func TestVerifySnapshot(t *testing.T) {
	f := newFSM(t)
	f.ApplyBatch(sample(t))
	snapshot := snapshotOf(t, f)
	got, err := VerifySnapshot(iotest.OneByteReader(bytes.NewReader(snapshot)))
	want := SnapshotInfo{ClusterID: testSettings.ClusterID, Level: FirstLevel, Index: f.Applied(), Term: 3, Clock: f.Clock(), Size: uint64(len(snapshot))}
	if err != nil || got != want {
		t.Errorf("verified %+v, %v; want %+v", got, err, want)
	}
	empty, err := VerifySnapshot(bytes.NewReader(snapshotOf(t, newFSM(t))))
	if err != nil || empty.ClusterID != "" || empty.Index != 0 {
		t.Errorf("of nothing: %+v, %v", empty, err)
	}
}

// TestVerifySnapshotNoticesEverything: every cut and every octet that is not what was written, as Restore notices them.
func TestVerifySnapshotNoticesEverything(t *testing.T) {
	f := newFSM(t)
	f.ApplyBatch(sample(t))
	snapshot := snapshotOf(t, f)
	refuse := func(what string, b []byte) {
		t.Helper()
		if info, err := VerifySnapshot(bytes.NewReader(b)); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Errorf("%s: %+v, %v", what, info, err)
		}
	}
	for i := range snapshot {
		refuse(fmt.Sprintf("cut after %d octets", i), snapshot[:i])
		b := bytes.Clone(snapshot)
		b[i] ^= 1 << (i % 8)
		refuse(fmt.Sprintf("octet %d changed", i), b)
	}
	refuse("an octet behind the end", append(bytes.Clone(snapshot), 0))
	if _, err := VerifySnapshot(iotest.TimeoutReader(bytes.NewReader(snapshot))); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("a reader that fails: %v", err)
	}
}

// FuzzVerifySnapshot: whatever the octets are, with checksums that fit, what is read of them is bounded by what is there, and what Restore takes is whole.
func FuzzVerifySnapshot(f *testing.F) {
	m := New(Config{})
	m.ApplyBatch(sample(f))
	snapshot := snapshotOf(f, m)
	f.Add(snapshot)
	f.Add(snapshot[:snapshotHeader])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > snapshotHeader {
			b = fitted(b)
		}
		info, err := VerifySnapshot(bytes.NewReader(b))
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Errorf("neither corrupt nor of another version: %v", err)
		}
		if err == nil && info.Size != uint64(len(b)) {
			t.Errorf("%d octets are whole as %d", len(b), info.Size)
		}
		if rerr := New(Config{}).Restore(io.NopCloser(bytes.NewReader(b))); rerr == nil && err != nil {
			t.Errorf("restored, but not whole: %v", err)
		}
	})
}
