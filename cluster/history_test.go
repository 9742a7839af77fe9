package cluster_test

import (
	"slices"
	"testing"

	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/watch"
)

// fedOf is every change that a node's feed has.
func fedOf(t *testing.T, m *clustertest.Member) []binding.Mark {
	t.Helper()
	marks, ok := m.Node().Feed().After(0, make([]binding.Mark, 0, watch.DefaultSize))
	if !ok {
		t.Fatalf("node %d does not remember its first change", m.Index)
	}
	return marks
}

// TestEveryNodeTellsTheSameChanges reads the feeds of three nodes, and what their newest views show of each change.
func TestEveryNodeTellsTheSameChanges(t *testing.T) {
	c := clustertest.New(t, clustertest.Options{})
	for _, m := range c.Members() {
		c.WaitReady(m)
	}
	follower := c.Followers()[0]
	changed := follower.Node().Feed().Changed()
	putLease(t, c, 1, 0, 30)
	putLease(t, c, 2, 10, 30)
	select {
	case <-changed:
	case <-deadline(t).Done():
		t.Fatal("nobody is told of changes")
	}
	v, err := follower.Node().History(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	newest := v.Change()
	v.Release()
	want := fedOf(t, follower)
	if len(want) == 0 || want[len(want)-1].Change != newest {
		t.Fatalf("%d changes, the newest of the view is %d", len(want), newest)
	}
	for _, m := range c.Members() {
		latest := binding.History(nil)
		c.Until("the node has applied it all", func() bool {
			if latest != nil {
				latest.Release()
			}
			latest = m.Node().Latest()
			return latest.Change() >= newest
		})
		if got := fedOf(t, m); !slices.Equal(got, want) {
			t.Errorf("node %d tells of %d changes, another of %d others", m.Index, len(got), len(want))
		}
		var client binding.Client
		shown := 0
		for _, mark := range want {
			if latest.At(mark, &client) {
				shown++
			}
		}
		if shown == 0 {
			t.Errorf("node %d shows nothing of what it tells of", m.Index)
		}
		latest.Release()
		if age, ok := m.Node().Fresh(); !ok || age < 0 {
			t.Errorf("node %d is fresh %v, %v", m.Index, ok, age)
		}
	}
}
