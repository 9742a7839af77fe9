package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/fsm"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// oldestVersion is the commit of the oldest version that can be upgraded from: its log entries and snapshots are of format level 1.
const oldestVersion = "5469eb0"

// formerBinary builds the program as it was at a commit, without cgo.
func formerBinary(t *testing.T, commit string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("whole processes are left out of short runs")
	}
	if err := exec.Command("git", "rev-parse", "--quiet", "--verify", commit+"^{commit}").Run(); err != nil {
		t.Skipf("the repository's history is not there: no commit %s", commit)
	}
	dir := t.TempDir()
	unpack := exec.Command("tar", "-x", "-C", dir)
	archive := exec.Command("git", "archive", "--format=tar", commit)
	archive.Dir = filepath.Join("..", "..") // below the root git takes only what is below
	var err error
	if unpack.Stdin, err = archive.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := unpack.Start(); err != nil {
		t.Fatalf("unpack %s: %v", commit, err)
	}
	if err := archive.Run(); err != nil {
		t.Fatalf("read %s out of the history: %v", commit, err)
	}
	if err := unpack.Wait(); err != nil {
		t.Fatalf("unpack %s: %v", commit, err)
	}
	binary := filepath.Join(dir, "leasehold-"+strings.NewReplacer("/", "-", "~", "-", "^", "-").Replace(commit))
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/leasehold") // what both versions have alike is compiled once
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", commit, err, out)
	}
	return binary
}

// formerVersions are the commits that a cluster is upgraded from: LEASEHOLD_UPGRADE_FROM, or the oldest one and the last one.
func formerVersions() []string {
	if from := os.Getenv("LEASEHOLD_UPGRADE_FROM"); from != "" {
		return strings.Fields(from)
	}
	return []string{oldestVersion, "HEAD~1"}
}

// TestRollingUpgrade replaces the version that all nodes run, one node after the other and the leader last, while requestors ask
// and feeders feed all the time. The first node goes back once: that must be possible until all have been replaced. Then the
// cluster uses the new format, and goes on.
//
// The leader is the last because the oldest version hands leadership over only after it has refused its feeders, which then try
// twice unless the nodes that they go to are new.
func TestRollingUpgrade(t *testing.T) {
	for _, from := range formerVersions() {
		t.Run(from, func(t *testing.T) {
			former := formerBinary(t, from)
			c := startConfigured(t, laptop.Config{Binary: former, Dir: t.TempDir(), Nodes: 3, Set: []string{"drain={delay: 1s, timeout: 2s}", "bulk.max_connections=100"}})
			l := startLoad(t, c, 10*time.Minute)
			leader := leaderOf(t, c)
			replace := func(n *laptop.Node, binary string) {
				n.Replace(binary)
				restart(t, n, n == leader)
			}
			order := leaderLast(c, leader)
			replace(order[0], builtBinary(t))
			replace(order[0], former)
			for _, n := range order {
				replace(n, builtBinary(t))
			}
			awaitLevel(t, c, fsm.MaxLevel)
			for range roundsOf(t, 1) {
				restart(t, leaderOf(t, c), true)
			}
			l.finish()
		})
	}
}

// leaderLast is the nodes with the leader at the end.
func leaderLast(c *laptop.Cluster, leader *laptop.Node) []*laptop.Node {
	out := slices.Clone(c.Nodes)
	slices.SortStableFunc(out, func(a, b *laptop.Node) int {
		switch leader {
		case a:
			return 1
		case b:
			return -1
		}
		return 0
	})
	return out
}

// awaitLevel waits until every node uses a format level.
func awaitLevel(t *testing.T, c *laptop.Cluster, level uint32) {
	t.Helper()
	ctx := deadline(t, time.Minute)
	until(t, ctx, fmt.Sprintf("all nodes use format level %d", level), func() bool {
		r, err := adminOf(t, c.Nodes[0]).Status(ctx, &adminv1.StatusRequest{})
		if err != nil || len(r.GetNodes()) != len(c.Nodes) {
			return false
		}
		for _, n := range r.GetNodes() {
			if n.GetFormatLevel() != level {
				return false
			}
		}
		return true
	})
	t.Logf("all nodes use format level %d", level)
}
