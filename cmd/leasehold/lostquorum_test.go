package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
)

// TestLostQuorumIsRecovered loses a majority of a cluster for good. The survivors go on by the operator's word; the lost, which come
// back from a disk that was found again, notice that they were left behind; empty, they join.
func TestLostQuorumIsRecovered(t *testing.T) {
	for _, tc := range []struct{ nodes, survivors int }{{3, 1}, {5, 2}} {
		t.Run(fmt.Sprintf("%d of %d survive", tc.survivors, tc.nodes), func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, tc.nodes, quick...)
			source := feedAll(t, c.GRPC(), 2000)
			requireSame(t, c, 2000)
			survivors, lost := c.Nodes[:tc.survivors], c.Nodes[tc.survivors:]
			for _, n := range lost {
				must(t, n.Kill())
				must(t, os.Rename(n.DataDir(), n.DataDir()+".lost"))
			}
			args := recoverArgs(survivors, lost)
			recoverAll(t, survivors, args)
			for _, n := range survivors {
				must(t, n.Start())
			}
			must(t, c.AwaitReady(deadline(t, time.Minute)))
			status, out, stderr := leasehold(t, "query", "address", source.Client(7).Address.String(), "--server", survivors[0].LeasequeryTCP)
			if status != 0 || !strings.Contains(out, source.Client(7).Address.String()) {
				t.Errorf("query of a survivor: %d, %s%s", status, out, stderr)
			}
			feedAll(t, []string{survivors[0].GRPC}, 3000)
			requireLeftBehind(t, c, lost)
			feedAll(t, []string{survivors[0].GRPC}, 4000)
			for _, n := range lost {
				must(t, n.Wipe())
				must(t, n.Start())
			}
			must(t, c.AwaitReady(deadline(t, time.Minute)))
			until(t, deadline(t, time.Minute), "all have a vote", func() bool { return len(voterIDs(membersOf(t, survivors[0]))) == tc.nodes })
			requireSame(t, c, 4000)
		})
	}
}

// recoverArgs are the arguments of the recovery on each survivor.
func recoverArgs(survivors, lost []*laptop.Node) (args []string) {
	for _, n := range survivors {
		args = append(args, "--survivor", n.Name)
	}
	for _, n := range lost {
		args = append(args, "--lost", n.Name)
	}
	return args
}

// recoverAll recovers every survivor, after what must be refused was refused.
func recoverAll(t *testing.T, survivors []*laptop.Node, args []string) {
	t.Helper()
	first := survivors[0]
	if status, _, stderr := leasehold(t, append([]string{"recover", "--config", first.Config}, args...)...); status == 0 || !strings.Contains(stderr, "is the node stopped?") {
		t.Errorf("recover a node that runs: %d, %s", status, stderr)
	}
	for _, n := range survivors {
		must(t, n.Stop(time.Minute))
	}
	if status, _, stderr := leasehold(t, "recover", "--config", first.Config, "--survivor", first.Name); status == 0 || !strings.Contains(stderr, "name every member") ||
		!strings.Contains(stderr, "Nothing was changed") {
		t.Errorf("recover without naming the lost: %d, %s", status, stderr)
	}
	var inspected inspectionObject
	requireJSON(t, &inspected, "recover", "inspect", "--config", first.Config, "--json")
	if inspected.NodeID != first.ID || inspected.LastIndex == 0 || len(inspected.Members) != len(args)/2 {
		t.Errorf("inspected: %+v", inspected)
	}
	var members []memberObject
	for _, n := range survivors {
		var done recoveredObject
		requireJSON(t, &done, append([]string{"recover", "--json", "--config", n.Config}, args...)...)
		if members != nil && !slices.Equal(members, done.Members) {
			t.Errorf("survivors come to %v and to %v", members, done.Members)
		}
		if members = done.Members; done.OldID != n.ID || len(members) != len(survivors) {
			t.Errorf("recovered: %+v", done)
		}
		if _, err := os.Stat(done.Backup + "/raft.db"); err != nil {
			t.Error(err)
		}
	}
}

// requireLeftBehind starts the lost nodes with their old disks, all at once: a majority of the cluster that was. Each of them ends
// and says why, and the recovered cluster has the leader and the term that it had.
func requireLeftBehind(t *testing.T, c *laptop.Cluster, lost []*laptop.Node) {
	t.Helper()
	var before, after statusObject
	requireJSON(t, &before, "status", "--json", "--cluster="+c.Nodes[0].GRPC)
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
	requireJSON(t, &after, "status", "--json", "--cluster="+c.Nodes[0].GRPC)
	if before.Leader != after.Leader || before.Term != after.Term {
		t.Errorf("the recovered cluster was disturbed: %s in term %d, then %s in term %d", before.Leader, before.Term, after.Leader, after.Term)
	}
}
