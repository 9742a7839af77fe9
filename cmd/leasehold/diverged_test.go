package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster/raftlog"
	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/feed/synthetic"
	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// TestDivergedNodeTakesItselfOut changes one octet of a binding in the log of a stopped node, under checksums that fit: nothing
// that reads the log notices. The node applies it and serves it, until a checkpoint of the others tells it.
func TestDivergedNodeTakesItselfOut(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	until(t, deadline(t, time.Minute), "entries are hashed", func() bool {
		r, err := adminOf(t, c.Nodes[0]).Status(t.Context(), &adminv1.StatusRequest{})
		if err != nil || len(r.GetNodes()) != 3 {
			return false
		}
		for _, n := range r.GetNodes() {
			if n.GetFormatLevel() != fsm.MaxLevel || n.GetMaxFormatLevel() != fsm.MaxLevel {
				return false
			}
		}
		return true
	})
	source, err := synthetic.New(synthetic.Config{Leases: 2_000, Relays: 20, Seed: 1, Valid: 86400})
	if err != nil {
		t.Fatal(err)
	}
	if err := newAgent(t, c, "diverged", source).Run(deadline(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	requireSameState(t, c)
	n := c.Nodes[2]
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	changeEntry(t, filepath.Join(n.DataDir(), "raft.db"))
	before := len(wholeLog(t, n))
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-n.Exited():
	case <-deadline(t, 2*time.Minute).Done():
		t.Fatal("the node goes on")
	}
	told := wholeLog(t, n)[before:]
	for _, want := range []string{"diverged from the cluster", n.DataDir(), "empty the directory so that it joins anew under a new id"} {
		if !strings.Contains(told, want) {
			t.Errorf("the node does not say %q: %s", want, told)
		}
	}
	t.Logf("the end of what it says: %s", told[max(0, len(told)-3000):])
	requireStaysOut(t, n)
	requireRejoins(t, c, n, 2_000)
}

// requireStaysOut wants a node that has diverged not to start again.
func requireStaysOut(t *testing.T, n *laptop.Node) {
	t.Helper()
	why, err := os.ReadFile(filepath.Join(n.DataDir(), "diverged.txt"))
	if err != nil || !strings.Contains(string(why), "diverged from the cluster") {
		t.Errorf("the data directory says %q, %v", why, err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitReady(deadline(t, time.Minute)); err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "joins anew") {
		t.Errorf("started again: %v", err)
	}
}

// changeEntry changes the newest binding in a Raft log.
func changeEntry(t *testing.T, path string) {
	t.Helper()
	log, err := raftlog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}()
	last, err := log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	for ; last > 0; last-- {
		var l raft.Log
		if err := log.GetLog(last, &l); err != nil {
			t.Fatal(err)
		}
		if l.Type != raft.LogCommand || fsm.Type(l.Data[3]) != fsm.TypeChanges {
			continue
		}
		at := bytes.LastIndex(l.Data, []byte{128, 0x20, 1}) // the length and the address of a binding's prefix, 2001:...
		if at < 0 {
			continue
		}
		l.Data[at+16] ^= 0x40
		fsm.Seal(l.Data, binding.Time(binary.BigEndian.Uint64(l.Data[8:])))
		if err := log.StoreLogs([]*raft.Log{&l}); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no binding is in the log")
}
