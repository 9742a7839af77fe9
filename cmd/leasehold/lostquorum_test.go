package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
)

// TestLostQuorumIsRecovered loses a majority of a cluster for good. The survivor with the newest log goes on by the operator's word;
// all others, which come back with their old disks, notice that they were left behind; empty, they join.
func TestLostQuorumIsRecovered(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ nodes, survivors int }{{3, 1}, {5, 2}} {
		t.Run(fmt.Sprintf("%d of %d survive", tc.survivors, tc.nodes), func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, tc.nodes, quick...)
			source := feedAll(t, c.GRPC(), 2000)
			requireSame(t, c, 2000)
			for _, n := range c.Nodes[tc.survivors:] {
				must(t, n.Kill())
			}
			requireRefusedWhileItRuns(t, c.Nodes[0])
			newest := newestOf(t, c.Nodes[:tc.survivors])
			others := slices.DeleteFunc(slices.Clone(c.Nodes), func(n *laptop.Node) bool { return n == newest })
			for _, n := range others {
				must(t, os.Rename(n.DataDir(), n.DataDir()+".lost"))
			}
			requireOwner := chown(t, newest.DataDir())
			begun := time.Now().UnixMilli()
			since := recoverNode(t, newest, others)
			requireOwner()
			must(t, newest.Start())
			must(t, newest.AwaitReady(deadline(t, time.Minute)))
			if now := clusterStatus(t, newest); now.SinceMS != since || since <= begun || now.ClockMS < since {
				t.Errorf("history since %d, told %d, recovered at %d; the clock is at %d", now.SinceMS, since, begun, now.ClockMS)
			}
			status, out, stderr := leasehold(t, "query", "address", source.Client(7).Address.String(), "--server", newest.LeasequeryTCP)
			if status != 0 || !strings.Contains(out, source.Client(7).Address.String()) {
				t.Errorf("query of the survivor: %d, %s%s", status, out, stderr)
			}
			feedAll(t, []string{newest.GRPC}, 3000)
			requireLeftBehind(t, newest, others)
			feedAll(t, []string{newest.GRPC}, 4000)
			for _, n := range others {
				must(t, n.Wipe())
				must(t, n.Start())
			}
			must(t, c.AwaitReady(deadline(t, time.Minute)))
			if tc.survivors > 1 { // once is enough: it takes 10 s
				until(t, deadline(t, time.Minute), "all have a vote", func() bool { return len(voterIDs(membersOf(t, newest))) == tc.nodes })
			}
			requireSame(t, c, 4000)
		})
	}
}

// chown gives a data directory to a user, as a node's is that does not run as root. The function that it returns fails the test
// unless everything in it belongs to that user.
func chown(t *testing.T, dir string) (requireOwner func()) {
	t.Helper()
	const user = 54321
	each := func(do func(path string, d fs.DirEntry) error) {
		t.Helper()
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { return errors.Join(err, do(path, d)) }))
	}
	if os.Geteuid() != 0 {
		t.Log("not root: whom files belong to after a recovery is not looked at")
		return func() {}
	}
	each(func(path string, _ fs.DirEntry) error { return os.Lchown(path, user, user) })
	return func() {
		each(func(path string, d fs.DirEntry) error {
			info, err := d.Info()
			if err == nil && info.Sys().(*syscall.Stat_t).Uid != user {
				t.Errorf("%s belongs to user %d after the recovery", path, info.Sys().(*syscall.Stat_t).Uid)
			}
			return err
		})
	}
}

func requireRefusedWhileItRuns(t *testing.T, n *laptop.Node) {
	t.Helper()
	if status, _, stderr := leasehold(t, "recover", "--config", n.Config); status == 0 || !strings.Contains(stderr, "is the node stopped?") {
		t.Errorf("recover a node that runs: %d, %s", status, stderr)
	}
}

// newestOf stops the survivors and finds the one with the newest log.
func newestOf(t *testing.T, survivors []*laptop.Node) (newest *laptop.Node) {
	t.Helper()
	var best inspectionObject
	for _, n := range survivors {
		must(t, n.Stop(time.Minute))
		var i inspectionObject
		requireJSON(t, &i, "recover", "inspect", "--config", n.Config, "--json")
		t.Logf("%s has entry %d of term %d", n.Name, i.LastIndex, i.LastTerm)
		if i.NodeID != n.ID || i.LastIndex == 0 || len(i.Members) == 0 {
			t.Errorf("inspected: %+v", i)
		}
		if newest == nil || i.LastTerm > best.LastTerm || i.LastTerm == best.LastTerm && i.LastIndex > best.LastIndex {
			newest, best = n, i
		}
	}
	return newest
}

// recoverNode recovers a stopped node, after what must be refused was refused, and returns where its history begins.
func recoverNode(t *testing.T, n *laptop.Node, others []*laptop.Node) (sinceMS int64) {
	t.Helper()
	args := []string{"recover", "--config", n.Config}
	if status, _, stderr := leasehold(t, args...); status == 0 || !strings.Contains(stderr, "name every other member") || !strings.Contains(stderr, "Nothing was changed") {
		t.Errorf("recover without naming the lost: %d, %s", status, stderr)
	}
	for _, other := range others {
		args = append(args, "--lost", other.Name)
	}
	var done recoveredObject
	requireJSON(t, &done, append(args, "--json")...)
	if done.OldID != n.ID || len(done.Members) != 1 {
		t.Errorf("recovered: %+v", done)
	}
	if _, err := os.Stat(done.Backup + "/raft.db"); err != nil {
		t.Error(err)
	}
	return done.HistorySinceMS
}

// requireLeftBehind starts the others with their old disks, all at once: a majority of the cluster that was. Each of them ends
// and says why, and the recovered cluster has the leader and the term that it had.
func requireLeftBehind(t *testing.T, survivor *laptop.Node, lost []*laptop.Node) {
	t.Helper()
	var before, after statusObject
	requireJSON(t, &before, "status", "--json", "--cluster="+survivor.GRPC)
	for _, n := range lost {
		must(t, os.Rename(n.DataDir()+".lost", n.DataDir()))
		must(t, n.Start())
	}
	for _, n := range lost {
		select {
		case <-n.Exited():
		case <-deadline(t, time.Minute).Done():
			t.Fatalf("%s, left behind, still runs", n.Name)
		}
		if log, err := n.Log(); err != nil || !strings.Contains(log, "goes on without this node") || !strings.Contains(log, "Empty") {
			t.Errorf("%s, left behind, does not say so: %v", n.Name, err)
		}
	}
	requireJSON(t, &after, "status", "--json", "--cluster="+survivor.GRPC)
	if before.Leader != after.Leader || before.Term != after.Term {
		t.Errorf("the recovered cluster was disturbed: %s in term %d, then %s in term %d", before.Leader, before.Term, after.Leader, after.Term)
	}
}
