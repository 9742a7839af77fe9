package cluster_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
)

// address is the i-th address of a test.
func address(i int) netip.Prefix {
	a := netip.MustParseAddr("2001:db8::").As16()
	binary.BigEndian.PutUint32(a[12:], uint32(i)+1)
	return netip.PrefixFrom(netip.AddrFrom16(a), 128)
}

// lease is an entry of the given session with n bindings of addresses from first on.
func lease(t testing.TB, epoch, sequence uint64, first, n int, valid uint32) []byte {
	t.Helper()
	changes := make([]fsm.Change, n)
	for i := range changes {
		changes[i].Change = binding.Change{Event: binding.Upsert, Binding: binding.Binding{
			Kind: binding.NA, Prefix: address(first + i), DUID: binary.BigEndian.AppendUint32([]byte{0, 3, 0, 1}, uint32(first+i)),
			IAID: 1, Preferred: valid / 2, Valid: valid,
		}}
	}
	entry, err := fsm.AppendChanges(nil, fsm.Session{Source: "test", Epoch: epoch, Sequence: sequence}, changes)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clustertest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// put proposes an entry at the leader until it is certainly applied, as a source does: the same entry again after every
// unknown outcome.
func put(t testing.TB, c *clustertest.Cluster, entry func() []byte) fsm.Result {
	t.Helper()
	ctx := deadline(t)
	for {
		p, err := c.Leader().Node().Propose(ctx, entry())
		if err == nil {
			var r fsm.Result
			if r, err = p.Wait(ctx); err == nil {
				return r
			}
		}
		if !errors.Is(err, cluster.ErrNotLeader) && !errors.Is(err, cluster.ErrUnknown) && !errors.Is(err, cluster.ErrBusy) || ctx.Err() != nil {
			t.Fatalf("propose: %v", err)
		}
	}
}

// atLeader does something at the leader until it is not refused because another leads by now. A second attempt after an
// unknown outcome may find its work done.
func atLeader(t testing.TB, c *clustertest.Cluster, do func(*cluster.Node) error) error {
	t.Helper()
	for ctx := deadline(t); ; {
		err := do(c.Leader().Node())
		if !errors.Is(err, cluster.ErrNotLeader) && !errors.Is(err, cluster.ErrUnknown) || ctx.Err() != nil {
			return err
		}
	}
}

// remove takes a member out at the leader, however often it takes.
func remove(t testing.TB, c *clustertest.Cluster, idOrName string) error {
	t.Helper()
	tries := 0
	err := atLeader(t, c, func(n *cluster.Node) error {
		tries++
		return n.Remove(deadline(t), idOrName)
	})
	if tries > 1 && errors.Is(err, cluster.ErrNoMember) {
		return nil // an attempt whose outcome was unknown has done it
	}
	return err
}

// handOver hands leadership to another node and returns it.
func handOver(t testing.TB, c *clustertest.Cluster) *clustertest.Member {
	t.Helper()
	old := c.Leader()
	for {
		if _, err := old.Node().TransferLeadership(deadline(t), ""); err != nil && !errors.Is(err, cluster.ErrNotLeader) {
			t.Logf("handover is tried again: %v", err) // it has an election timeout's time
		}
		if l := c.Leader(); l != old {
			return l
		}
	}
}

// putLease puts one batch and requires that it was applied now.
func putLease(t testing.TB, c *clustertest.Cluster, sequence uint64, first, n int) {
	t.Helper()
	r := put(t, c, func() []byte { return lease(t, 1, sequence, first, n, 3600) })
	if r.Err != nil || r.Expected != 0 || r.UnknownEpoch {
		t.Fatalf("batch %d: %+v", sequence, r)
	}
}

func bindings(t testing.TB, m *clustertest.Member) uint64 {
	t.Helper()
	v := m.Node().StaleView()
	defer v.Release()
	return v.Len()
}
