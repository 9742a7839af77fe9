package cluster_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/cluster/raftlog"
	"github.com/leasehold/leasehold/fsm"
)

// smallSnapshots has nodes take snapshots all the time and keep little of the log behind them.
func smallSnapshots(_ int, c *cluster.Config) {
	c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = 16, 50*time.Millisecond, 8
}

// snapshotDirs are the directories of a node's finished snapshots, the newest first.
func snapshotDirs(t testing.TB, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "snapshots", "*-*-*"))
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(s string) bool { return strings.HasSuffix(s, ".tmp") })
	slices.SortFunc(all, func(a, b string) int { return -order(a).compare(order(b)) })
	return all
}

type triple [3]uint64

func order(path string) (o triple) {
	fmt.Sscanf(filepath.Base(path), "%d-%d-%d", &o[0], &o[1], &o[2])
	return o
}

func (o triple) compare(other triple) int { return slices.Compare(o[:], other[:]) }

// fillUntilSnapshots writes until the node has two snapshots, and entries behind them.
func fillUntilSnapshots(t testing.TB, c *clustertest.Cluster, m *clustertest.Member, seq *uint64) {
	t.Helper()
	before := ""
	if all := snapshotDirs(t, m.Dir); len(all) > 0 {
		before = all[0]
	}
	for all := snapshotDirs(t, m.Dir); len(all) < 2 || all[0] == before; all = snapshotDirs(t, m.Dir) {
		*seq++
		putLease(t, c, *seq, int(*seq)*3, 3)
	}
	for range 5 {
		*seq++
		putLease(t, c, *seq, int(*seq)*3, 3)
	}
}

// rebuilt is what a directory's files make, in words.
func rebuilt(dir string) (string, error) {
	sm := fsm.New(fsm.Config{Logger: slog.New(slog.DiscardHandler), Halt: func(err error) { panic(err) }})
	rest, err := cluster.Rebuild(dir, sm)
	if err != nil {
		return "", err
	}
	v := sm.View()
	defer v.Release()
	return fmt.Sprintf("%s, %d bindings, state %x", rest, v.Len(), v.Hash()), nil
}

// TestEveryFlippedBitOfADirectoryIsFoundOrHarmless flips bits, one at a time, all over the files of a stopped node: its
// directory is refused, by the name of the file, or makes the state that it made before.
func TestEveryFlippedBitOfADirectoryIsFoundOrHarmless(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Voters: 1, Config: func(i int, c *cluster.Config) {
		smallSnapshots(i, c)
		c.TrailingLogs = 1000 // more of the file is in use
	}})
	m := c.Member(0)
	var seq uint64
	fillUntilSnapshots(t, c, m, &seq)
	m.Kill()
	want, err := rebuilt(m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %#x: %s", seed, want)
	rng := rand.New(rand.NewPCG(seed, 0))
	newest := snapshotDirs(t, m.Dir)[0]
	for _, file := range []struct {
		path   string
		named  string // by the message
		flips  int
		always bool // whether every bit matters
	}{
		{filepath.Join(m.Dir, "raft.db"), "raft.db", 600, false},
		{filepath.Join(newest, "state.bin"), newest, 200, true},
		{filepath.Join(newest, "meta.json"), newest, 400, false}, // JSON has letters of either case
		{filepath.Join(newest, "meta.crc"), newest, 72, true},
	} {
		whole, err := os.ReadFile(file.path)
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for range file.flips {
			b := slices.Clone(whole)
			at, bit := rng.IntN(len(b)), byte(1)<<rng.IntN(8)
			b[at] ^= bit
			if err := os.WriteFile(file.path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := rebuilt(m.Dir)
			switch {
			case err != nil && !strings.Contains(err.Error(), file.named):
				t.Fatalf("%s, octet %d, bit %#x: refused without the file's name: %v", file.path, at, bit, err)
			case err != nil:
				refused++
			case got != want:
				t.Fatalf("%s, octet %d, bit %#x: damage was read: %s, want %s", file.path, at, bit, got, want)
			case file.always:
				t.Errorf("%s, octet %d, bit %#x: not noticed", file.path, at, bit)
			}
		}
		t.Logf("%s, %d octets: %d of %d flips refused", filepath.Base(file.path), len(whole), refused, file.flips)
		if err := os.WriteFile(file.path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := rebuilt(m.Dir); got != want || err != nil {
		t.Errorf("the whole directory: %s, %v", got, err)
	}
}

// cut halves a file.
func cut(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, info.Size()/2)
}

func flip(path string, at int64) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if at < 0 {
		at += int64(len(b))
	}
	b[at] ^= 4
	return os.WriteFile(path, b, 0o600)
}

// damages are what can happen to the files of a stopped node, and whether it then starts: if it does, it must have the state
// of the others.
var damages = []struct {
	name   string
	do     func(log string, snapshots []string) error
	starts bool
	file   string // the message names it
}{
	{"log cut in half", func(log string, _ []string) error { return cut(log) }, false, "raft.db"},
	{"log cut to nothing", func(log string, _ []string) error { return os.Truncate(log, 0) }, false, "raft.db"},
	{"log of noughts", func(log string, _ []string) error { return os.WriteFile(log, make([]byte, 1<<16), 0o600) }, false, "raft.db"},
	{"log gone", func(log string, _ []string) error { return os.Remove(log) }, false, "raft.db"},
	{"a bit of a meta page", func(log string, _ []string) error { return flip(log, 16+40) }, false, "raft.db"},
	{"state cut in half", func(_ string, s []string) error { return cut(filepath.Join(s[0], "state.bin")) }, false, "state.bin"},
	{"a bit of the state", func(_ string, s []string) error { return flip(filepath.Join(s[0], "state.bin"), -40) }, false, "state.bin"},
	{"state gone", func(_ string, s []string) error { return os.Remove(filepath.Join(s[0], "state.bin")) }, false, "state.bin"},
	{"meta.json cut in half", func(_ string, s []string) error { return cut(filepath.Join(s[0], "meta.json")) }, false, "meta.json"},
	{"meta.json gone", func(_ string, s []string) error { return os.Remove(filepath.Join(s[0], "meta.json")) }, false, "meta.json"},
	{"meta.crc empty", func(_ string, s []string) error { return os.Truncate(filepath.Join(s[0], "meta.crc"), 0) }, false, "meta.json"},
	{"meta.crc gone, as of the first version", func(_ string, s []string) error { return os.Remove(filepath.Join(s[0], "meta.crc")) }, true, ""},
	{"snapshot empty", func(_ string, s []string) error {
		return errors.Join(os.RemoveAll(s[0]), os.Mkdir(s[0], 0o750))
	}, false, "meta.json"},
	{"newest snapshot gone", func(_ string, s []string) error { return os.RemoveAll(s[0]) }, false, "snapshots"},
	{"all snapshots gone", func(_ string, s []string) error { return os.RemoveAll(filepath.Dir(s[0])) }, false, "snapshots"},
	{"older snapshot cut in half", func(_ string, s []string) error { return cut(filepath.Join(s[1], "state.bin")) }, true, ""},
	{"unfinished snapshot", func(_ string, s []string) error {
		return os.CopyFS(filepath.Join(filepath.Dir(s[0]), "9-99999999-1.tmp"), os.DirFS(s[0]))
	}, true, ""},
}

// TestDamagedDirectories does every kind of damage to the directory of a follower, which is then started.
func TestDamagedDirectories(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: smallSnapshots})
	m := c.Followers()[0]
	var seq uint64
	fillUntilSnapshots(t, c, m, &seq)
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			fillUntilSnapshots(t, c, m, &seq)
			m.Kill()
			kept := filepath.Join(t.TempDir(), "kept")
			if err := os.CopyFS(kept, os.DirFS(m.Dir)); err != nil {
				t.Fatal(err)
			}
			if err := d.do(filepath.Join(m.Dir, "raft.db"), snapshotDirs(t, m.Dir)); err != nil {
				t.Fatal(err)
			}
			err := m.TryStart()
			if err == nil && !d.starts {
				c.Until("the node refuses", func() bool { return m.Err() != nil })
				err = m.Err()
			}
			if d.starts != (err == nil) {
				t.Fatalf("start: %v; want that it starts: %v", err, d.starts)
			}
			if err != nil {
				t.Log(err)
				if !strings.Contains(err.Error(), d.file) || !strings.Contains(err.Error(), "joins anew under a new id") {
					t.Errorf("the message names no %s, or not what to do", d.file)
				}
				m.Kill()
				m.Wipe()
				if err := os.CopyFS(m.Dir, os.DirFS(kept)); err != nil {
					t.Fatal(err)
				}
				m.Start()
			}
			c.WaitReady(m)
			c.RequireSameState()
		})
	}
}

// TestSnapshotDamagedUnderANodeIsReplaced damages the newest snapshot of a leader that runs: a node that needs a snapshot gets
// a whole one, because the leader takes another.
func TestSnapshotDamagedUnderANodeIsReplaced(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: smallSnapshots})
	var seq uint64
	leader := c.Leader()
	fillUntilSnapshots(t, c, leader, &seq)
	lagging := c.Followers()[0]
	lagging.Kill()
	fillUntilSnapshots(t, c, leader, &seq)
	leader = c.Leader()
	if err := cut(filepath.Join(snapshotDirs(t, leader.Dir)[0], "state.bin")); err != nil {
		t.Fatal(err)
	}
	lagging.Start()
	c.WaitReady(lagging)
	c.RequireSameState()
}

// TestLogDamagedUnderALeader changes an entry in the log of a leader that runs, which a follower then needs. The leader ends, and
// says why; the other follower has what is missing.
func TestLogDamagedUnderALeader(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Config: slowElections})
	lagging := c.Followers()[0]
	lagging.Kill()
	for seq := range uint64(200) { // more than Raft's cache has
		putLease(t, c, seq+1, int(seq), 1)
	}
	leader := c.Leader()
	path := filepath.Join(leader.Dir, "raft.db")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	changed := 0
	for at, duid := 0, []byte{0, 3, 0, 1, 0, 0, 0, 20}; ; at += len(duid) { // of the 20th lease
		next := bytes.Index(b[at:], duid)
		if next < 0 {
			break
		}
		at += next
		if _, err := file.WriteAt([]byte{1}, int64(at)); err != nil {
			t.Fatal(err)
		}
		changed++
	}
	if changed == 0 {
		t.Fatal("the entry is not in the leader's log")
	}
	lagging.Start()
	c.Until("the leader ends", func() bool { return leader.Err() != nil })
	if err := leader.Err(); !errors.Is(err, raftlog.ErrDamaged) || !strings.Contains(err.Error(), path) || strings.Count(err.Error(), "anew") != 1 {
		t.Errorf("leader with a damaged log ended with: %v", err)
	}
	c.WaitReady(lagging)
	c.RequireSameState()
	if got := bindings(t, lagging); got != 200 {
		t.Errorf("%d bindings, want 200", got)
	}
}

func TestErrorOfADirectoryInUseIsNotAboutDamage(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{Voters: 1})
	err := cluster.OpenDisk(c.Member(0).Dir, slog.New(slog.DiscardHandler))
	if !errors.Is(err, raftlog.ErrInUse) || errors.Is(err, raftlog.ErrDamaged) {
		t.Errorf("open a log that is in use: %v", err)
	}
}
