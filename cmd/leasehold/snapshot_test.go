package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
)

// TestClusterIsRestoredFromASnapshot: a cluster is saved, goes on, and is lost as a whole. One node is restored from the file, the others
// join it empty. It has what was saved, no more and no less; the feeder that spoke to the old one all the while begins anew by itself,
// and what no feeder has fed again yet is as it was saved.
func TestClusterIsRestoredFromASnapshot(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, quick...)
	feedAll(t, c.GRPC(), 2000)
	saved := listed(t, c.Nodes[0])
	file := filepath.Join(t.TempDir(), "state")
	var s snapshotObject
	requireJSON(t, &s, "snapshot", "save", file, "--json", "--cluster", c.Nodes[2].GRPC)
	feedAll(t, c.GRPC(), 1500) // takes 500 away
	feeder := startStream(t, c)
	before := clusterStatus(t, c.Nodes[0])
	epoch := epochOf(t, c.Nodes[0], feeder.name())
	for _, n := range c.Nodes {
		must(t, n.Kill())
		must(t, n.Wipe())
	}
	first := c.Nodes[1]
	requireDamagedAreRefused(t, first, file)
	must(t, os.MkdirAll(first.DataDir(), 0o750))
	requireOwner := chown(t, first.DataDir())
	var r restoredObject
	requireJSON(t, &r, "snapshot", "restore", file, "--config", first.Config, "--json")
	requireOwner()
	if r.Bindings != 2000 || r.SavedCluster != before.ClusterID || r.ClusterID == before.ClusterID || r.Index != s.Index || r.SavedMS != s.ClockMS || len(r.Members) != 1 {
		t.Errorf("saved %+v of cluster %s, restored %+v", s, before.ClusterID, r)
	}
	must(t, first.Start())
	must(t, first.AwaitReady(deadline(t, time.Minute)))
	now := clusterStatus(t, first)
	if now.SinceMS != r.HistorySinceMS || now.SinceMS <= before.ClockMS || now.ClockMS < now.SinceMS || now.ServerDUID != before.ServerDUID || now.ClusterID != r.ClusterID {
		t.Errorf("status %+v after the restoration, %+v before", now, before)
	}
	for _, n := range []*laptop.Node{c.Nodes[0], c.Nodes[2]} {
		must(t, n.Start())
	}
	must(t, c.AwaitReady(deadline(t, time.Minute)))
	want := feeder.end(t)
	maps.Copy(want, saved)
	if diff := cmp.Diff(want, listed(t, c.Nodes[2])); diff != "" {
		t.Errorf("what was saved and what is fed (-want +got):\n%s", diff)
	}
	if again := epochOf(t, first, feeder.name()); again == epoch {
		t.Errorf("the feeder goes on in its epoch %s", epoch)
	}
	feedAll(t, c.GRPC(), 1500)
	until(t, deadline(t, time.Minute), "what is gone is swept", func() bool { return len(listed(t, first)) == len(want)-500 })
	requireSame(t, c, uint64(len(want)-500))
}

// feeding is a stream that is being fed.
type feeding struct {
	*stream
	ended chan error
}

// startStream feeds a stream into a cluster, whatever becomes of that, until the test ends, and waits until some of it is there.
func startStream(t *testing.T, c *laptop.Cluster) *feeding {
	t.Helper()
	f := &feeding{newStream(1), make(chan error, 1)}
	agent := newAgent(t, c, f.name(), f.stream)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { f.ended <- agent.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-f.ended // closed by end, or it ends now
	})
	until(t, deadline(t, time.Minute), "the stream flows", func() bool { return f.stated.Load() > 100 })
	return f
}

// end stops the stream, once all of it was acknowledged, and is what there must be of it.
func (f *feeding) end(t *testing.T) map[string]string {
	t.Helper()
	from := f.stated.Load()
	until(t, deadline(t, time.Minute), "the stream flows on", func() bool { return f.stated.Load() > from+100 })
	close(f.stop)
	if err := <-f.ended; err != nil {
		t.Fatalf("feed: %v", err)
	}
	close(f.ended)
	want := map[string]string{}
	f.want(want)
	return want
}

func clusterStatus(t *testing.T, n *laptop.Node) (s statusObject) {
	t.Helper()
	requireJSON(t, &s, "status", "--json", "--cluster", n.GRPC)
	return s
}

// epochOf is the newest epoch of a source, once the node knows of that.
func epochOf(t *testing.T, n *laptop.Node, source string) (epoch string) {
	t.Helper()
	until(t, deadline(t, time.Minute), n.Name+" knows the source "+source, func() bool {
		var all sourcesObject
		requireJSON(t, &all, "sources", "--json", "--cluster", n.GRPC)
		for _, s := range all.Sources {
			if s.Name == source {
				epoch = s.Epoch
				return true
			}
		}
		return false
	})
	return epoch
}

// requireDamagedAreRefused: a snapshot that is cut, has a flipped bit, or is none is named with what is wrong, and nothing is left of it.
func requireDamagedAreRefused(t *testing.T, n *laptop.Node, file string) {
	t.Helper()
	whole, err := os.ReadFile(file)
	must(t, err)
	flipped := append([]byte(nil), whole...)
	flipped[len(flipped)/2] ^= 1
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		content []byte
		says    string
	}{
		"cut":     {whole[:len(whole)-1000], "cut short"},
		"flipped": {flipped, "checksum mismatch"},
		"other":   {[]byte(strings.Repeat("address,duid\n", 50)), "magic"},
	} {
		bad := filepath.Join(dir, name)
		must(t, os.WriteFile(bad, tc.content, 0o600))
		for _, args := range [][]string{{"snapshot", "restore", bad, "--config", n.Config}, {"snapshot", "inspect", bad}} {
			if status, _, stderr := leasehold(t, args...); status != 1 || !strings.Contains(stderr, bad) || !strings.Contains(stderr, tc.says) {
				t.Errorf("leasehold %v: status %d, %s; want %q", args, status, stderr, tc.says)
			}
		}
	}
	if entries, err := os.ReadDir(n.DataDir()); len(entries) > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left in the data directory: %v, %v", entries, err)
	}
}

// TestSnapshotFile: what is saved gets its name only when it is whole, and replaces nothing unasked.
func TestSnapshotFile(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, quick...)
	feedAll(t, c.GRPC(), 500)
	n := c.Nodes[0]
	dir := t.TempDir()
	file := filepath.Join(dir, "state")
	dead := "127.0.0.1:1" // nobody is there: the next is asked
	if out := requireRun(t, "snapshot", "save", file, "--cluster", dead+","+n.GRPC); !strings.Contains(out, "saved: cluster ") {
		t.Errorf("saved: %s", out)
	}
	var i snapshotObject
	requireJSON(t, &i, "snapshot", "inspect", file, "--json")
	info, err := os.Stat(file)
	must(t, err)
	if i.ClusterID != clusterStatus(t, n).ClusterID || int64(i.Size) != info.Size() || info.Mode().Perm() != 0o600 {
		t.Errorf("inspected %+v, %v", i, info.Mode())
	}
	if status, _, stderr := leasehold(t, "snapshot", "save", file, "--cluster", n.GRPC); status == 0 || !strings.Contains(stderr, "--force") {
		t.Errorf("saved over a file: %d, %s", status, stderr)
	}
	requireRun(t, "snapshot", "save", file, "--force", "--cluster", n.GRPC)
	status, out, stderr := leasehold(t, "snapshot", "save", "-", "--cluster", n.GRPC)
	if status != 0 || !strings.Contains(stderr, "saved: ") {
		t.Errorf("saved to standard output: %d, %s", status, stderr)
	}
	must(t, os.WriteFile(filepath.Join(dir, "piped"), []byte(out), 0o600))
	requireRun(t, "snapshot", "inspect", filepath.Join(dir, "piped"))
	if status, _, stderr := leasehold(t, "snapshot", "restore", file, "--config", n.Config); status == 0 || !strings.Contains(stderr, "not empty") {
		t.Errorf("restored over a node: %d, %s", status, stderr)
	}
	must(t, n.Kill())
	if status, _, _ := leasehold(t, "snapshot", "save", filepath.Join(dir, "none"), "--cluster", n.GRPC); status == 0 {
		t.Error("saved without a node")
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("beside the files that were saved there are others: %v", entries)
	}
}
