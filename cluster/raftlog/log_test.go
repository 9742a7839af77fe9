package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

func openTest(t testing.TB, path string) *Log {
	t.Helper()
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func entry(index, term uint64, size int) *raft.Log {
	return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: bytes.Repeat([]byte{byte(index)}, size), AppendedAt: time.Unix(int64(index), 7).UTC()}
}

// contents is everything that a store has, in words.
func contents(s interface {
	raft.LogStore
	raft.StableStore
}) (string, error) {
	var b bytes.Buffer
	first, err := s.FirstIndex()
	last, lerr := s.LastIndex()
	if err := errors.Join(err, lerr); err != nil {
		return "", err
	}
	fmt.Fprintln(&b, first, last)
	for i := first; i <= last && i > 0; i++ {
		var e raft.Log
		if err := s.GetLog(i, &e); err != nil {
			return "", err
		}
		fmt.Fprintln(&b, e.Index, e.Term, e.Type, e.AppendedAt.UnixNano(), len(e.Data), len(e.Extensions), fmt.Sprintf("%.8x", e.Data))
	}
	term, err := s.GetUint64([]byte("CurrentTerm"))
	if err != nil {
		return "", err
	}
	vote, err := s.Get([]byte("Vote"))
	fmt.Fprintln(&b, term, fmt.Sprintf("%q", vote))
	return b.String(), err
}

// fill writes terms, a vote and entries of many sizes, some larger than a page, and removes some again at both ends.
func fill(t testing.TB, s interface {
	raft.LogStore
	raft.StableStore
}, entries int) {
	t.Helper()
	err := errors.Join(s.SetUint64([]byte("CurrentTerm"), 3), s.Set([]byte("Vote"), []byte("\x00\x00\x00\x00\x00\x00\x00\x03127.0.0.1:1/x")))
	var batch []*raft.Log
	for i := range uint64(entries) {
		size := int(i % 300)
		if i%50 == 7 {
			size = 9000
		}
		if batch = append(batch, entry(i+1, 1+i*3/uint64(entries), size)); len(batch) == 9 || i == uint64(entries)-1 {
			err = errors.Join(err, s.StoreLogs(batch))
			batch = nil
		}
	}
	n := uint64(entries)
	err = errors.Join(err, s.DeleteRange(1, n/10), s.DeleteRange(n-2, n), s.StoreLogs([]*raft.Log{entry(n-2, 3, 5), entry(n-1, 3, 5)}))
	if err != nil {
		t.Fatal(err)
	}
}

func boltStore(t *testing.T, path string) *raftboltdb.BoltStore {
	t.Helper()
	s, err := raftboltdb.New(raftboltdb.Options{Path: path, MsgpackUseNewTimeFormat: true,
		BoltOptions: &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, Timeout: lockTimeout}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestUpAndDown has raft-boltdb write, Log read and go on, raft-boltdb read and go on, Log read again.
func TestUpAndDown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	old := boltStore(t, path)
	fill(t, old, 200)
	want, err := contents(old)
	if err = errors.Join(err, old.Close()); err != nil {
		t.Fatal(err)
	}
	l := openTest(t, path)
	if got, err := contents(l); got != want || err != nil {
		t.Fatalf("read of what raft-boltdb wrote: %v, %s", err, cmp.Diff(want, got))
	}
	if err := errors.Join(l.Require(0)); err == nil {
		t.Error("a log that begins behind its first entry was good enough without a snapshot")
	}
	if err := errors.Join(l.Require(20), l.StoreLog(entry(200, 4, 100)), l.SetUint64([]byte("CurrentTerm"), 4)); err != nil {
		t.Fatal(err)
	}
	if want, err = contents(l); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	old = boltStore(t, path)
	got, err := contents(old)
	if got != want || err != nil {
		t.Fatalf("raft-boltdb's read of what was written: %v, %s", err, cmp.Diff(want, got))
	}
	// Were the old program's log shorter, the record of its extent, which it does not write, would be wrong.
	if err := errors.Join(old.DeleteRange(150, 200), old.Set([]byte("Vote"), []byte("\x00\x00\x00\x00\x00\x00\x00\x04x")), old.Close()); err != nil {
		t.Fatal(err)
	}
	l = openTest(t, path)
	if last, err := l.LastIndex(); last != 149 || err != nil {
		t.Errorf("last index %d, %v, want 149", last, err)
	}
	if err := errors.Join(l.StoreLog(entry(150, 4, 100)), l.Set([]byte("Vote"), []byte("x")), l.SetUint64([]byte("CurrentTerm"), 5), l.Close()); err != nil {
		t.Fatal(err)
	}
	for range 3 { // the old program is started and does not get far: it leaves nothing but transactions without contents
		if err := boltStore(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		l = openTest(t, path)
		if last, err := l.LastIndex(); last != 150 || err != nil {
			t.Errorf("last index %d, %v, want 150", last, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVoteOfASealedFileIsSafeInRaftBoltDB is what doc.go says of going back: the term is right, the candidate nobody.
func TestVoteOfASealedFileIsSafeInRaftBoltDB(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	l := openTest(t, path)
	vote := []byte("\x00\x00\x00\x00\x00\x00\x00\x03candidate")
	if err := errors.Join(l.Set([]byte("Vote"), vote), l.Close()); err != nil {
		t.Fatal(err)
	}
	old := boltStore(t, path)
	defer old.Close()
	got, err := old.Get([]byte("Vote"))
	if err != nil || !bytes.HasPrefix(got, vote) || bytes.Equal(got, vote) {
		t.Errorf("vote is %q, %v: want %q and a seal", got, err, vote)
	}
}

// TestEveryFlippedBitIsFoundOrHarmless flips bits, one at a time, all over a file: it is refused, now or when the entry is
// read, or what is read is what was written.
func TestEveryFlippedBitIsFoundOrHarmless(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	l := openTest(t, path)
	fill(t, l, 120)
	want, err := contents(l)
	if err = errors.Join(err, l.SetSnapshot(9, 1), l.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %#x, file of %d octets", seed, len(whole))
	rng := rand.New(rand.NewPCG(seed, 0))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	used := positions(whole, rng)
	var refused, harmless int
	for _, at := range used {
		bit := byte(1) << rng.IntN(8)
		writeAt(t, file, at, whole[at]^bit)
		got, err := readAll(path)
		switch {
		case errors.Is(err, ErrDamaged):
			refused++
		case err != nil:
			t.Fatalf("octet %d, bit %#x: error that is not about damage: %v", at, bit, err)
		case got != want:
			t.Fatalf("octet %d, bit %#x: damage was read: %s", at, bit, cmp.Diff(want, got))
		default:
			harmless++
		}
		writeAt(t, file, at, whole[at])
	}
	t.Logf("%d flips: %d refused, %d where nothing is stored", len(used), refused, harmless)
	if refused < len(used)/4 {
		t.Errorf("only %d of %d flips were noticed", refused, len(used))
	}
	if got, err := readAll(path); got != want || err != nil {
		t.Errorf("the whole file: %v, %s", err, cmp.Diff(want, got))
	}
}

// TestEveryFlippedBitBeforeTheVoteIsFoundOrHarmless flips every bit of what leads to the term and the vote: a node that did not
// find them would vote twice in one term.
func TestEveryFlippedBitBeforeTheVoteIsFoundOrHarmless(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	l := openTest(t, path)
	fill(t, l, 3)
	want, err := contents(l)
	if err = errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	for start := 0; start < len(whole); start += 4096 {
		keys := bytes.Index(whole[start:start+4096], []byte("CurrentTerm"))
		if keys < 0 {
			continue
		}
		pages++
		for bit := range 8 * keys {
			b := bytes.Clone(whole)
			b[start+bit/8] ^= 1 << (bit % 8)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := Open(path)
			if errors.Is(err, ErrDamaged) {
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			got, err := contents(l)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if err == nil && got != want || err != nil && !errors.Is(err, ErrDamaged) {
				t.Errorf("page at %d, octet %d, bit %d: %v, damage was read: %s", start, bit/8, bit%8, err, cmp.Diff(want, got))
			}
		}
	}
	if pages == 0 {
		t.Error("no page has the term")
	}
}

// positions are those where a flip is tried: the structure of pages, and some of everything.
func positions(file []byte, rng *rand.Rand) (out []int64) {
	for at := 0; at < len(file); at += 4096 {
		if bytes.Count(file[at:at+4096], []byte{0}) == 4096 {
			continue
		}
		for range 30 {
			out = append(out, int64(at+rng.IntN(80)), int64(at+rng.IntN(4096)))
		}
	}
	return out
}

func writeAt(t *testing.T, f *os.File, at int64, b byte) {
	t.Helper()
	if _, err := f.WriteAt([]byte{b}, at); err != nil {
		t.Fatal(err)
	}
}

func readAll(path string) (string, error) {
	l, err := Open(path)
	if err != nil {
		return "", err
	}
	defer l.Close()
	if err := l.Require(12); err != nil {
		return "", err
	}
	return contents(l)
}

// TestFileCutOff cuts the file at every page and in between.
func TestFileCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	l := openTest(t, path)
	fill(t, l, 120)
	want, err := contents(l)
	if err = errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.db")
	for n := len(whole); n > 0; n -= 3000 {
		if err := os.WriteFile(cut, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(cut)
		if (err != nil && !errors.Is(err, ErrDamaged)) || (err == nil && got != want) {
			t.Fatalf("cut after %d of %d octets: %v, %s", n, len(whole), err, cmp.Diff(want, got))
		} else if err == nil && n < len(whole)/4 {
			t.Errorf("nothing was missed after %d of %d octets", n, len(whole))
		}
	}
}

// TestPageThatWasNotWritten takes back, one at a time, each page that the last transaction wrote, as if it had never reached
// the disk: what was there before is a perfect page. Only the meta page is left alone: without it the transaction was not.
func TestPageThatWasNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	l := openTest(t, path)
	fill(t, l, 120)
	refused, tried := 0, 0
	for index := uint64(120); index < 150; index++ {
		before, err := os.ReadFile(path)
		if err := errors.Join(err, l.StoreLog(entry(index, 3, 200))); err != nil {
			t.Fatal(err)
		}
		want, err := contents(l)
		if err = errors.Join(err, l.Close()); err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := 2 * 4096; at < min(len(before), len(after)); at += 4096 {
			if bytes.Equal(before[at:at+4096], after[at:at+4096]) {
				continue
			}
			lost := bytes.Clone(after)
			copy(lost[at:at+4096], before[at:])
			if err := os.WriteFile(path, lost, 0o600); err != nil {
				t.Fatal(err)
			}
			tried++
			if got, err := readAll(path); errors.Is(err, ErrDamaged) {
				refused++
			} else if err != nil || got != want {
				t.Errorf("entry %d, page %d not written: %v, %s", index, at/4096, err, cmp.Diff(want, got))
			}
		}
		if err := os.WriteFile(path, after, 0o600); err != nil {
			t.Fatal(err)
		}
		l = openTest(t, path)
	}
	if t.Logf("%d pages taken back, %d refused", tried, refused); refused < tried/2 {
		t.Errorf("only %d of %d pages that were not written were missed", refused, tried)
	}
}
