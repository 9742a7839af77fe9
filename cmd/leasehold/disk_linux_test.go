package main

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/feed/synthetic"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// needMounts skips a test that cannot make file systems of its own.
func needMounts(t *testing.T, programs ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("file systems can be mounted only by root")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

// onDisks starts a cluster whose nodes keep their data on file systems of their own, which mount mounts. They are taken off
// after the nodes have ended.
func onDisks(t *testing.T, nodes int, mount func(t *testing.T, dir string)) *laptop.Cluster {
	t.Helper()
	dir := t.TempDir()
	c, err := laptop.New(laptop.Config{Binary: builtBinary(t), Dir: dir, Nodes: nodes})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		data := filepath.Join(dir, n.Name)
		if err := os.Mkdir(data, 0o750); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(data, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
				t.Errorf("take %s off: %v", data, err)
			}
		})
		mount(t, data)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("stop the cluster: %v", err)
		}
	})
	if err := c.Start(deadline(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

func dataOf(n *laptop.Node) string { return filepath.Join(filepath.Dir(n.Config), n.Name) }

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// leads is the node that leads, as one of those says that run; nil for none.
func leads(t *testing.T, c *laptop.Cluster, but *laptop.Node) *laptop.Node {
	for _, asked := range c.Nodes {
		if !asked.Running() || asked == but {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		r, err := adminOf(t, asked).Status(ctx, &adminv1.StatusRequest{})
		cancel()
		for _, n := range c.Nodes {
			if err == nil && n.Name == r.GetLeader() {
				return n
			}
		}
	}
	return nil
}

// pick waits for a leader and returns it, or a follower.
func pick(t *testing.T, c *laptop.Cluster, leader bool) *laptop.Node {
	t.Helper()
	var found *laptop.Node
	until(t, deadline(t, time.Minute), "there is a leader", func() bool { found = leads(t, c, nil); return found != nil })
	for _, n := range c.Nodes {
		if (n == found) == leader {
			return n
		}
	}
	return nil
}

// generated is a source of leases of its own.
func generated(t *testing.T, leases int, seed uint64) *synthetic.Source {
	t.Helper()
	s, err := synthetic.New(synthetic.Config{Leases: leases, Relays: 20, Seed: seed, Valid: 86400})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fill writes a file until the file system is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 1 << 12, 1} {
		for b := make([]byte, size); err == nil; {
			_, err = f.Write(b)
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
	}
}

// TestFullDisk fills the disk of a follower, then of the leader, while bindings are fed: the node ends, with an error that says
// what was full, the others go on, and when there is space again it starts and has everything.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	needMounts(t)
	c := onDisks(t, 3, func(t *testing.T, dir string) {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=48m"); err != nil {
			t.Skipf("mount tmpfs: %v", err)
		}
	})
	const leases = 20_000
	seed := uint64(time.Now().UnixNano())
	for i, role := range []string{"follower", "leader"} {
		source := generated(t, leases, seed+uint64(i))
		victim := pick(t, c, role == "leader")
		filler := filepath.Join(dataOf(victim), "filler")
		fill(t, filler)
		if err := newAgent(t, c, "full", source).Run(deadline(t, 2*time.Minute)); err != nil {
			t.Fatalf("feed while the %s's disk is full: %v", role, err)
		}
		until(t, deadline(t, time.Minute), "the "+role+" ends", func() bool { return !victim.Running() })
		if err := victim.AwaitReady(deadline(t, time.Minute)); err == nil || !strings.Contains(err.Error(), "exit status 1") {
			t.Errorf("%s with a full disk ended with: %v, want exit status 1", role, err)
		}
		if told := logOf(t, victim); !strings.Contains(told, "raft.db: no space left on device") || strings.Contains(told, "panic:") {
			t.Errorf("%s with a full disk did not say so, or panicked: %s", role, told)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
		if err := victim.AwaitReady(deadline(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		if n := requireSameState(t, c); n != leases {
			t.Errorf("%d bindings, want %d", n, leases)
		}
		requireListed(t, c, source)
	}
}

// logOf is what a node has logged.
func logOf(t *testing.T, n *laptop.Node) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(filepath.Dir(n.Config), n.Name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// feeder feeds one generated source after the other.
type feeder struct {
	stop   chan struct{}
	ended  chan error
	leases atomic.Uint64 // acknowledged, of all sources
	last   *synthetic.Source
}

func startFeeder(t *testing.T, c *laptop.Cluster, leases int, seed uint64) *feeder {
	t.Helper()
	f := &feeder{stop: make(chan struct{}), ended: make(chan error, 1)}
	ctx := deadline(t, 5*time.Minute)
	go func() {
		for round := uint64(0); ; round++ {
			var err error
			if f.last, err = synthetic.New(synthetic.Config{Leases: leases, Relays: 20, Seed: seed + round, Valid: 86400}); err == nil {
				err = f.feed(ctx, c)
			}
			select {
			case <-f.stop:
				f.ended <- err
				return
			default:
				if err != nil {
					f.ended <- err
					return
				}
			}
		}
	}()
	return f
}

func (f *feeder) feed(ctx context.Context, c *laptop.Cluster) error {
	a, err := feed.New(feedConfig("stalled", c.GRPC(), 0, slog.New(slog.DiscardHandler), nil), f.last)
	if err != nil {
		return err
	}
	before := f.leases.Load()
	fed := make(chan error, 1)
	go func() { fed <- a.Run(ctx) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-fed:
			f.leases.Store(before + a.Totals().Leases)
			return err
		case <-tick.C:
			f.leases.Store(before + a.Totals().Leases)
		}
	}
}

// progress waits until so many more leases are acknowledged.
func (f *feeder) progress(t *testing.T, what string, leases uint64) {
	t.Helper()
	want := f.leases.Load() + leases
	until(t, deadline(t, time.Minute), what, func() bool { return f.leases.Load() >= want || len(f.ended) > 0 })
}

// TestStalledDisk has the disks of nodes stand still while bindings are fed. With a follower's the others go on meanwhile. With
// the leader's for a moment, nobody is the worse for it; for longer, the others elect another leader, though the one with the
// disk still runs. Nothing that was acknowledged is lost, and all nodes end with one state.
func TestStalledDisk(t *testing.T) {
	t.Parallel()
	needMounts(t, "mkfs.ext4", "mount", "fsfreeze")
	images := t.TempDir()
	c := onDisks(t, 3, func(t *testing.T, dir string) { mountImage(t, filepath.Join(images, filepath.Base(dir)), dir) })
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	f := startFeeder(t, c, 5000, seed)
	f.progress(t, "feeding begins", 1000)
	for range roundsOf(t, 1) {
		n := pick(t, c, false)
		thaw := freeze(t, dataOf(n))
		f.progress(t, "the others go on while a follower's disk stands still", 2000)
		thaw()

		n = pick(t, c, true)
		thaw = freeze(t, dataOf(n))
		<-time.After(time.Second + time.Duration(rng.Int64N(int64(2*time.Second)))) // how long the fault lasts
		thaw()
		f.progress(t, "feeding goes on after the leader's disk stood still", 1000)

		n = pick(t, c, true)
		thaw = freeze(t, dataOf(n))
		began := time.Now()
		var next *laptop.Node
		until(t, deadline(t, time.Minute), "another leads", func() bool { next = leads(t, c, n); return next != nil && next != n })
		t.Logf("%s leads %v after the disk of %s stood still", next.Name, time.Since(began).Round(time.Millisecond), n.Name)
		f.progress(t, "feeding goes on without the old leader's disk", 1000)
		thaw()
	}
	close(f.stop)
	if err := <-f.ended; err != nil {
		t.Fatalf("feed: %v", err)
	}
	requireSameState(t, c)
	requireListed(t, c, f.last)
}

// mountImage mounts an ext4 file system in a file.
func mountImage(t *testing.T, image, dir string) {
	t.Helper()
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(192<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.ext4", "-q", image)
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("mount a file: %v: %s", err, out)
	}
}

// freeze has writes to a file system wait until thaw is called.
func freeze(t *testing.T, dir string) (thaw func()) {
	t.Helper()
	command(t, "fsfreeze", "-f", dir)
	frozen := true
	thaw = func() {
		if frozen {
			frozen = false
			if out, err := exec.Command("fsfreeze", "-u", dir).CombinedOutput(); err != nil {
				t.Errorf("thaw %s: %v: %s", dir, err, out)
			}
		}
	}
	t.Cleanup(thaw)
	return thaw
}
