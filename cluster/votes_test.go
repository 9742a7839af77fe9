package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/leasehold/leasehold/cluster/raftlog"
)

// voterDir tells the test binary, in the environment, to cast votes in a directory until it is killed.
const voterDir = "LEASEHOLD_TEST_VOTER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(voterDir); dir != "" {
		castVotes(dir)
	}
	code := m.Run()
	if code == 0 {
		code = leaks()
	}
	os.Exit(code)
}

// leaks looks for goroutines that outlive the tests. memberlist's probes end a little after their memberlist, with their
// timeouts, so it looks more than once.
func leaks() int {
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if err = goleak.Find(); err == nil {
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// castVotes votes as Raft does, in ever newer terms, and prints each vote that is stored.
func castVotes(dir string) {
	st, err := openStores(dir, slog.New(slog.DiscardHandler), func(err error) { panic(err) })
	if err != nil {
		panic(err)
	}
	for term := uint64(1); ; term++ {
		if err := errors.Join(
			st.stable.SetUint64([]byte("CurrentTerm"), term),
			st.stable.SetUint64([]byte(keyLastVoteTerm), term),
			st.stable.Set([]byte(keyLastVoteCand), fmt.Appendf(nil, "candidate-%d", term)),
		); err != nil {
			panic(err)
		}
		fmt.Println(term)
	}
}

// TestVoteSurvivesKillWhole kills a process that votes, at moments spread over many votes, and finds term and candidate of one
// vote each time, never older than the newest that was acknowledged (hashicorp/raft#661).
func TestVoteSurvivesKillWhole(t *testing.T) {
	for votes := range 8 {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), voterDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		var acked uint64
		for range 3*votes + 1 {
			if !lines.Scan() {
				t.Fatalf("voter ended: %v", lines.Err())
			}
			if _, err := fmt.Sscan(lines.Text(), &acked); err != nil {
				t.Fatal(err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // its error is that it was killed
		st := openTestStores(t, dir)
		term, err := st.stable.GetUint64([]byte(keyLastVoteTerm))
		if err != nil {
			t.Fatal(err)
		}
		candidate, err := st.stable.Get([]byte(keyLastVoteCand))
		if want := fmt.Sprintf("candidate-%d", term); err != nil || string(candidate) != want || term < acked {
			t.Errorf("vote after kill: term %d, candidate %q, %v; want %q, term at least %d", term, candidate, err, want, acked)
		}
	}
}

func openTestStores(t *testing.T, dir string) *stores {
	t.Helper()
	st, err := openStores(dir, slog.New(slog.DiscardHandler), func(err error) { t.Errorf("disk: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.bolt.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// TestVoteIsOneWrite stops between the halves of a vote: the old vote is still whole.
func TestVoteIsOneWrite(t *testing.T) {
	st := openTestStores(t, t.TempDir())
	for _, key := range []string{keyLastVoteTerm, keyLastVoteCand} {
		// Raft compares the text, in requestVote.
		if _, err := st.stable.GetUint64([]byte(key)); err == nil || err.Error() != "not found" {
			t.Errorf("%s before any vote: error %v, want %q", key, err, "not found")
		}
	}
	vote := func(s raft.StableStore, term uint64, candidate string) error {
		return errors.Join(s.SetUint64([]byte(keyLastVoteTerm), term), s.Set([]byte(keyLastVoteCand), []byte(candidate)))
	}
	if err := vote(st.stable, 7, "a"); err != nil {
		t.Fatal(err)
	}
	if err := st.stable.SetUint64([]byte(keyLastVoteTerm), 8); err != nil {
		t.Fatal(err)
	}
	again := &voteStore{StableStore: st.bolt} // as after a crash
	term, err := again.GetUint64([]byte(keyLastVoteTerm))
	candidate, cerr := again.Get([]byte(keyLastVoteCand))
	if term != 7 || string(candidate) != "a" || err != nil || cerr != nil {
		t.Errorf("vote after half a vote: %d %q (%v, %v), want 7 \"a\"", term, candidate, err, cerr)
	}
	if err := vote(st.stable, 8, "b"); err != nil {
		t.Fatal(err)
	}
	term, err = again.GetUint64([]byte(keyLastVoteTerm))
	if term != 8 || err != nil {
		t.Errorf("term after the whole vote: %d, %v, want 8", term, err)
	}
	if err := again.Set([]byte(keyLastVoteCand), []byte("c")); err == nil {
		t.Error("a candidate without a term was stored")
	}
	if v, err := st.stable.GetUint64([]byte("CurrentTerm")); !errors.Is(err, raftlog.ErrKeyNotFound) {
		t.Errorf("other keys: %d, %v", v, err)
	}
}

// failing is a log store whose disk fails when told.
type failing struct {
	raft.LogStore
	err error
}

func (f *failing) StoreLogs(logs []*raft.Log) error {
	if f.err != nil {
		return f.err
	}
	return f.LogStore.StoreLogs(logs)
}

func TestDiskErrorEndsEveryWrite(t *testing.T) {
	full := errors.New("no space left on device")
	var told []error
	d := &disk{broken: func(err error) { told = append(told, err) }}
	inner := &failing{LogStore: raft.NewInmemStore()}
	s := &logStore{LogStore: inner, disk: d}
	stable := &stableStore{StableStore: raft.NewInmemStore(), disk: d}
	if err := s.StoreLog(&raft.Log{Index: 1, Data: []byte("0123456789")}); err != nil {
		t.Fatal(err)
	}
	inner.err = full
	if err := s.StoreLog(&raft.Log{Index: 2, Data: []byte("01234")}); !errors.Is(err, full) {
		t.Errorf("write to a full disk: %v", err)
	}
	inner.err = nil
	for what, err := range map[string]error{
		"log": s.StoreLog(&raft.Log{Index: 2}), "compaction": s.DeleteRange(1, 1), "term": stable.SetUint64([]byte("k"), 1), "vote": stable.Set([]byte("k"), nil),
	} {
		if !errors.Is(err, full) {
			t.Errorf("%s after a failed write: %v, want the first error", what, err)
		}
	}
	if len(told) != 1 || !errors.Is(told[0], full) {
		t.Errorf("node was told %v, want the first error once", told)
	}
	if last, err := inner.LastIndex(); last != 1 || err != nil {
		t.Errorf("last index %d, %v; want 1", last, err)
	}
	if got := s.bytes.Load(); got < 10 {
		t.Errorf("octets counted: %d, want at least 10", got)
	}
}

func TestDeleteRangeInChunks(t *testing.T) {
	st := openTestStores(t, t.TempDir())
	var logs []*raft.Log
	for i := uint64(1); i <= 2*deleteChunk+7; i++ {
		logs = append(logs, &raft.Log{Index: i, Data: []byte("x")})
	}
	if err := st.log.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	if err := st.log.DeleteRange(1, 2*deleteChunk+5); err != nil {
		t.Fatal(err)
	}
	first, err := st.log.FirstIndex()
	last, lerr := st.log.LastIndex()
	if first != 2*deleteChunk+6 || last != 2*deleteChunk+7 || err != nil || lerr != nil {
		t.Errorf("log is %d to %d (%v, %v), want the last two entries", first, last, err, lerr)
	}
}

func TestReplayCountsAsLogSinceSnapshot(t *testing.T) {
	dir := t.TempDir()
	st := openTestStores(t, dir)
	for i := range uint64(10) {
		if err := st.log.StoreLog(&raft.Log{Index: i + 1, Data: make([]byte, 100)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := st.log.bytes.Load(); got != 1000 {
		t.Errorf("octets written: %d, want 1000", got)
	}
	again := &stores{bolt: st.bolt}
	if err := again.open(dir, slog.New(slog.DiscardHandler), func(error) {}); err != nil {
		t.Fatal(err)
	}
	var l raft.Log
	for range 3 { // replayed, then read again for a follower
		for i := range uint64(10) {
			if err := again.cached.GetLog(i+1, &l); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := again.log.bytes.Load(); got != 1000 {
		t.Errorf("octets replayed: %d, want 1000", got)
	}
	for _, tc := range []struct {
		most int64
		due  bool
	}{{1000, true}, {1001, false}} {
		if due, err := again.snapshotDue(tc.most); due != tc.due || err != nil {
			t.Errorf("snapshot due with at most %d octets: %v, %v", tc.most, due, err)
		}
	}
	again.log.bytes.Store(minSnapshotLog)
	if due, err := again.snapshotDue(1 << 40); !due || err != nil {
		t.Errorf("first snapshot due after %d octets: %v, %v", minSnapshotLog, due, err)
	}
}

func TestUnfinishedSnapshotsAreRemovedAtBoot(t *testing.T) {
	dir := t.TempDir()
	torn, whole := filepath.Join(dir, snapshotsDir, "2-9-1.tmp"), filepath.Join(dir, snapshotsDir, "keep")
	for _, d := range []string{torn, whole} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	openTestStores(t, dir)
	if _, err := os.Stat(torn); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("unfinished snapshot is still there: %v", err)
	}
	if _, err := os.Stat(whole); err != nil {
		t.Errorf("another directory went too: %v", err)
	}
}

func TestLogIsOpenOnce(t *testing.T) {
	dir := t.TempDir()
	openTestStores(t, dir)
	if _, err := openStores(dir, slog.New(slog.DiscardHandler), func(error) {}); err == nil {
		t.Error("a log was opened twice")
	}
}
