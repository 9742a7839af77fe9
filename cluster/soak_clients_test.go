package cluster_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/cluster/clustertest/history"
	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
)

// The laboratory's groups: each a link of its own, written by two servers that share a source, as a pair does. A key is an
// address, its version stands in the DUID of the client that has it.
const (
	soakGroups  = 4
	soakKeys    = 6
	soakWriters = 2
)

func soakAddress(group, key int) netip.Prefix {
	a := netip.MustParseAddr("2001:db8::").As16()
	a[7], a[15] = byte(group+1), byte(key+1)
	return netip.PrefixFrom(netip.AddrFrom16(a), 128)
}

func soakDUID(group int, version uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{0, 3, 0, 1, byte(group)}, version)
}

// laboratory is a cluster under random faults and its clients.
type laboratory struct {
	t       *testing.T
	c       *clustertest.Cluster
	rng     *rand.Rand
	offsets []atomic.Int64 // of the nodes' wall clocks

	epochs   atomic.Uint64
	versions [soakGroups]atomic.Uint32
	initial  []history.Versions // of the chapter under way

	writes, reads, refused, lost, leases atomic.Int64
}

// clients are the writers and readers of one chapter.
type clients struct {
	*laboratory
	record  *history.Recorder
	chains  [soakGroups]atomic.Int32
	running sync.WaitGroup
	ctx     context.Context // ended: begin nothing more
	seed    uint64
}

func (l *laboratory) startClients(ctx context.Context, seed uint64) *clients {
	c := &clients{laboratory: l, record: history.NewRecorder(l.initial), ctx: ctx, seed: seed}
	for g := range soakGroups {
		for w := range soakWriters {
			c.running.Go(func() { c.write(g, w) })
		}
	}
	for _, m := range l.c.Members() {
		c.running.Go(func() { c.read(m) })
	}
	c.running.Go(c.watchExpiry)
	return c
}

// every calls do at most once in the interval until the clients are to end or do says so.
func (c *clients) every(interval time.Duration, do func() bool) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if !do() {
				return
			}
		case <-c.ctx.Done():
			return
		}
	}
}

// write writes one batch after the other. A batch with an unknown outcome is sent again, as a source does, or seldom given up
// for good, as by a source that lost its memory.
func (c *clients) write(group, writer int) {
	rng := rand.New(rand.NewPCG(c.seed, uint64(100*group+writer)))
	session := c.newSession(group)
	chain := int(c.chains[group].Add(1) - 1)
	c.every(15*time.Millisecond, func() bool {
		session.Sequence++
		w, changes := c.batch(rng, group)
		w.Chain, w.Sequence = chain, uint32(session.Sequence)
		call := c.record.Now()
		giveUp := func() bool { return rng.IntN(4) == 0 && c.chains[group].Load() < 8 }
		switch known, err := c.put(session, changes, giveUp); {
		case err != nil:
			c.t.Errorf("batch %d of writer %d of group %d: %v", session.Sequence, writer, group, err)
			return false
		case known:
			c.record.Wrote(group, writer, call, w)
			c.writes.Add(1)
		default:
			c.record.Lost(group, writer, call, w)
			c.lost.Add(1)
			session, chain = c.newSession(group), int(c.chains[group].Add(1)-1)
		}
		return true
	})
}

func (c *clients) newSession(group int) fsm.Session {
	return fsm.Session{Source: fmt.Sprintf("pair-%d", group), Epoch: c.epochs.Add(1)}
}

// batch draws a batch: one key, some or all, bound to a new client or, but for the first, ended.
func (c *clients) batch(rng *rand.Rand, group int) (history.Write, []fsm.Change) {
	var w history.Write
	version := c.versions[group].Add(1)
	w.Keys = history.Keys(rng.IntN(1<<soakKeys-1) + 1)
	if rng.IntN(3) == 0 {
		w.Keys = history.All(soakKeys)
	}
	var changes []fsm.Change
	for key := range soakKeys {
		if !w.Keys.Has(key) {
			continue
		}
		change := binding.Change{Event: binding.Upsert, Binding: binding.Binding{
			Kind: binding.NA, Prefix: soakAddress(group, key), DUID: soakDUID(group, version), IAID: 1, Preferred: 3600, Valid: 3600,
		}}
		w.To[key] = version
		if key > 0 && rng.IntN(8) == 0 {
			w.To[key] = 0
			change = binding.Change{Event: binding.End, Reason: binding.Released, Binding: binding.Binding{Kind: binding.NA, Prefix: soakAddress(group, key)}}
		}
		changes = append(changes, fsm.Change{Change: change})
	}
	return w, changes
}

// put proposes a batch at whoever leads until it is known to be applied, or giveUp says so after an unknown outcome.
func (c *clients) put(s fsm.Session, changes []fsm.Change, giveUp func() bool) (known bool, err error) {
	ctx := deadline(c.t) // a batch that was begun is finished, also when the chapter ends meanwhile
	for {
		entry, err := fsm.AppendChanges(nil, s, changes)
		if err != nil {
			return false, err
		}
		r, err := c.propose(ctx, entry)
		switch {
		case err == nil && (r.Err != nil || r.Expected != 0 || r.UnknownEpoch):
			return false, fmt.Errorf("answer %+v", r)
		case err == nil:
			return true, nil
		case ctx.Err() != nil:
			return false, err
		case errors.Is(err, cluster.ErrUnknown):
			if giveUp() {
				return false, nil
			}
		case !errors.Is(err, cluster.ErrNotLeader) && !errors.Is(err, cluster.ErrBusy) && !errors.Is(err, cluster.ErrNotRunning):
			return false, err
		}
		select {
		case <-time.After(5 * time.Millisecond): // whoever leads now is asked next
		case <-ctx.Done():
		}
	}
}

// propose proposes at the node that leads in the newest term.
func (c *clients) propose(ctx context.Context, entry []byte) (fsm.Result, error) {
	var leader *cluster.Node
	for _, m := range c.c.Members() {
		if n := m.Running(); n != nil && n.IsLeader() && (leader == nil || n.Term() > leader.Term()) {
			leader = n
		}
	}
	if leader == nil {
		return fsm.Result{}, cluster.ErrNotLeader
	}
	p, err := leader.Propose(ctx, entry)
	if err != nil {
		return fsm.Result{}, err
	}
	return p.Wait(ctx)
}

// read asks one node again and again: for one key or all of a group, strictly or as the node has it.
func (c *clients) read(m *clustertest.Member) {
	rng := rand.New(rand.NewPCG(c.seed, uint64(1000+m.Index)))
	c.every(8*time.Millisecond, func() bool {
		n := m.Running()
		if n == nil {
			return true
		}
		group, keys := rng.IntN(soakGroups), history.All(soakKeys)
		if rng.IntN(2) == 0 {
			keys = history.One(rng.IntN(soakKeys))
		}
		call := c.record.Now()
		view, bound, err := look(c.ctx, n, rng.IntN(3) == 0)
		if err != nil {
			if !errors.Is(err, cluster.ErrNotFresh) && c.ctx.Err() == nil {
				c.t.Errorf("view of node %d: %v", m.Index, err)
			}
			c.refused.Add(1)
			return true
		}
		saw, err := versionsIn(view, group, keys)
		view.Release()
		if err != nil {
			c.t.Errorf("node %d: %v", m.Index, err)
			return false
		}
		c.record.Saw(group, 100+m.Index, call, history.Read{Keys: keys, Saw: saw, Bound: bound})
		c.reads.Add(1)
		return true
	})
}

// look is a strict view, or what the node has, with the age of its proof: the state cannot have been replaced for longer.
func look(ctx context.Context, n *cluster.Node, stale bool) (binding.View, time.Duration, error) {
	if age, proven := n.Fresh(); stale && proven {
		return n.StaleView(), age, nil
	}
	v, err := n.View(ctx)
	return v, 0, err
}
