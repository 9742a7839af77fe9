package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/feed/synthetic"
)

// damage changes one octet of a file, counted from its beginning or, below 0, from its end. Octet 0 halves the file.
func damage(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case at == 0:
		b = b[:len(b)/2]
	case at > 0:
		b[at] ^= 0x10
	default:
		b[len(b)+at] ^= 0x10
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// newestSnapshot waits until a node has a snapshot and returns its directory.
func newestSnapshot(t *testing.T, n *laptop.Node) string {
	t.Helper()
	var found []string
	until(t, deadline(t, time.Minute), n.Name+" has a snapshot", func() bool {
		found, _ = filepath.Glob(filepath.Join(n.DataDir(), "snapshots", "*-*-*[0-9]"))
		return len(found) > 0
	})
	return found[len(found)-1]
}

// wholeLog is all that a node has logged.
func wholeLog(t *testing.T, n *laptop.Node) string {
	t.Helper()
	told, err := n.Log()
	if err != nil {
		t.Fatal(err)
	}
	return told
}

// TestDamagedNodeRefuses damages a file of a node that was killed, and starts it: it ends with a message that names the file
// and says what to do, and that is not the end of the process by a panic. The others answer all the time. Then it is done as
// the message says: the node joins anew, and has everything.
func TestDamagedNodeRefuses(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, "raft.snapshot_bytes=1048576")
	source, err := synthetic.New(synthetic.Config{Leases: 20_000, Relays: 20, Seed: 1, Valid: 86400})
	if err != nil {
		t.Fatal(err)
	}
	if err := newAgent(t, c, "damaged", source).Run(deadline(t, 2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	n := c.Nodes[2]
	for _, d := range []struct {
		file string
		at   int
	}{{"raft.db", 56}, {"raft.db", 0}, {"state.bin", -1000}, {"state.bin", 0}, {"meta.json", 60}} {
		newestSnapshot(t, n)
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(n.DataDir(), d.file)
		if d.file != "raft.db" {
			path = filepath.Join(newestSnapshot(t, n), d.file)
		}
		damage(t, path, d.at)
		requireRefused(t, n, path)
		requireRejoins(t, c, n, 20_000)
	}
	requireListed(t, c, source)
}

// requireRefused starts a node and fails unless it ends with status 1, after it has named the damaged file and the way out.
func requireRefused(t *testing.T, n *laptop.Node, path string) {
	t.Helper()
	before := len(wholeLog(t, n))
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitReady(deadline(t, time.Minute)); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Fatalf("start with %s damaged: %v, want exit status 1", path, err)
	}
	told := wholeLog(t, n)[before:]
	for _, want := range []string{path, "damaged", "joins anew under a new id"} {
		if !strings.Contains(told, want) {
			t.Errorf("%s damaged: the node does not say %q: %s", path, want, told)
		}
	}
	if strings.Contains(told, "panic") || strings.Contains(told, "goroutine ") {
		t.Errorf("%s damaged: the node panics: %s", path, told)
	}
	t.Logf("the end of what it says: %.600s", told[max(0, len(told)-600):])
}
