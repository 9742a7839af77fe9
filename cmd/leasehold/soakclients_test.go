package main

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

	"google.golang.org/grpc"

	"github.com/leasehold/leasehold/cluster/clustertest/history"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// The groups of the laboratory of processes: each a link of its own, written by two servers that share a source, as a pair does.
// A key is an address; its version stands in the DUID of the client that has it.
const (
	soakGroups  = 4
	soakKeys    = 6
	soakWriters = 2
)

func soakAddress(group, key int) netip.Addr {
	a := netip.MustParseAddr("2001:db8::").As16()
	a[7], a[15] = byte(group+1), byte(key+1)
	return netip.AddrFrom16(a)
}

func soakDUID(group int, version uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{0, 3, 0, 1, byte(group)}, version)
}

// soakServer is a node as its clients see it.
type soakServer struct{ name, grpc, leasequery string }

// soakTarget is a cluster, and how clients reach it.
type soakTarget struct {
	servers   []soakServer
	dial      []grpc.DialOption
	requestor requestor.Config
	bound     time.Duration // how old an answer may be: read.max_staleness
}

// soak is what is known of a cluster over many histories, which follow each other.
type soak struct {
	t        *testing.T
	target   soakTarget
	versions [soakGroups]atomic.Uint32
	initial  []history.Versions // what the next history begins with

	writes, reads, refused, broken atomic.Int64
}

func newSoak(t *testing.T, target soakTarget) *soak {
	return &soak{t: t, target: target, initial: make([]history.Versions, soakGroups)}
}

// soakClients are the writers and readers of one history.
type soakClients struct {
	*soak
	record           *history.Recorder
	writers, readers sync.WaitGroup
	ctx              context.Context // ended: begin nothing more
	stop             context.CancelFunc
}

func (s *soak) start(seed uint64) *soakClients {
	c := &soakClients{soak: s, record: history.NewRecorder(s.initial)}
	c.ctx, c.stop = context.WithCancel(s.t.Context())
	for g := range soakGroups {
		for w := range soakWriters {
			c.writers.Go(func() { newSoakWriter(c, seed, g, w).run() })
		}
	}
	for i, server := range s.target.servers {
		c.readers.Go(func() { c.read(rand.New(rand.NewPCG(seed, uint64(1000+i))), 100+i, server) })
	}
	return c
}

// requireProgress waits until batches are acknowledged and queries answered.
func (s *soak) requireProgress() {
	s.t.Helper()
	writes, reads := s.writes.Load()+50, s.reads.Load()+50
	until(s.t, deadline(s.t, time.Minute), "batches are acknowledged and queries answered again", func() bool {
		return s.writes.Load() >= writes && s.reads.Load() >= reads
	})
}

// finish lets the writers send what they have begun until all is acknowledged, has bindings wait until all nodes have one state
// and tell how many bindings that has, asks every node once more, and checks the histories. The cluster must be well. The last
// answers are strict whatever the cluster's bound: no node has an older state any more.
func (c *soakClients) finish(bindings func() uint64) {
	c.t.Helper()
	c.stop()
	c.writers.Wait()
	c.readers.Wait()
	there := bindings()
	for group := range soakGroups {
		for i, server := range c.target.servers {
			call := c.record.Now()
			saw, err := c.askUntilAnswered(server, group)
			if err != nil {
				c.t.Fatalf("last query to %s: %v", server.name, err)
			}
			c.record.Saw(group, 100+i, call, history.Read{Keys: history.All(soakKeys), Saw: saw})
			if i > 0 && saw != c.initial[group] {
				c.t.Errorf("group %d: %s answers %v, another %v", group, server.name, saw, c.initial[group])
			}
			c.initial[group] = saw
		}
	}
	if n := c.live(); there != n {
		c.t.Errorf("%d bindings, want %d", there, n)
	}
	if err := c.record.Check(time.Minute); err != nil {
		c.t.Error(err)
	}
}

// askUntilAnswered asks a node that is well for a whole group. Until its newest leader is heard of everywhere, it may refuse.
func (c *soakClients) askUntilAnswered(server soakServer, group int) (saw history.Versions, err error) {
	ctx := deadline(c.t, time.Minute)
	conn, err := requestor.Dial(ctx, server.leasequery, c.target.requestor)
	if err != nil {
		return saw, err
	}
	defer conn.Close()
	for {
		saw, err = ask(ctx, conn, group, history.All(soakKeys))
		if status, ok := errors.AsType[*requestor.StatusError](err); !ok || status.Status != dhcpv6.StatusQueryTerminated {
			return saw, err
		}
	}
}

// live is how many bindings there are.
func (s *soak) live() (n uint64) {
	for _, versions := range s.initial {
		for _, v := range versions {
			if v != 0 {
				n++
			}
		}
	}
	return n
}

// read asks one node again and again: by address, or for all of a link. A node that answers with an error, or not at all, shows
// nothing.
func (c *soakClients) read(rng *rand.Rand, client int, server soakServer) {
	var conn *requestor.Conn
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			if conn != nil {
				conn.Close()
			}
			return
		}
		group, keys := rng.IntN(soakGroups), history.All(soakKeys)
		if rng.IntN(2) == 0 {
			keys = history.One(rng.IntN(soakKeys))
		}
		query, cancel := context.WithTimeout(c.ctx, soakPatience+soakPatience/2)
		var err error
		if conn == nil {
			conn, err = requestor.Dial(query, server.leasequery, c.target.requestor)
		}
		call := c.record.Now()
		var saw history.Versions
		if err == nil {
			saw, err = ask(query, conn, group, keys)
		}
		cancel()
		if err == nil {
			c.record.Saw(group, client, call, history.Read{Keys: keys, Saw: saw, Bound: c.target.bound})
			c.reads.Add(1)
			continue
		}
		if status, ok := errors.AsType[*requestor.StatusError](err); ok && status.Status == dhcpv6.StatusQueryTerminated {
			c.refused.Add(1)
			continue
		}
		if _, ok := errors.AsType[*requestor.StatusError](err); ok || errors.Is(err, requestor.ErrProtocol) || errors.Is(err, errShown) {
			c.t.Errorf("%s: %v", server.name, err)
			return
		}
		c.broken.Add(1)
		if conn != nil {
			conn.Close()
			conn = nil
		}
	}
}

// errShown is an answer that cannot be.
var errShown = errors.New("impossible answer")

// ask asks for one key by address, or for all of a group by link-address.
func ask(ctx context.Context, conn *requestor.Conn, group int, keys history.Keys) (saw history.Versions, err error) {
	q := requestor.Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: soakAddress(group, 100)}
	if keys != history.All(soakKeys) {
		for key := range soakKeys {
			if keys.Has(key) {
				q = requestor.Query{Type: dhcpv6.QueryByAddress, Address: soakAddress(group, key)}
			}
		}
	}
	err = conn.Query(ctx, q, func(c *requestor.Client) error {
		if len(c.DUID) != 9 || int(c.DUID[4]) != group {
			return fmt.Errorf("%w: client %x in group %d", errShown, c.DUID, group)
		}
		for _, a := range c.Addresses {
			key := int(a.Address.As16()[15]) - 1
			switch {
			case key >= soakKeys || a.Address != soakAddress(group, key):
				return fmt.Errorf("%w: address %v in group %d", errShown, a.Address, group)
			case !keys.Has(key): // a client is given with everything that it has
				continue
			case saw[key] != 0:
				return fmt.Errorf("%w: two clients have %v", errShown, a.Address)
			}
			saw[key] = binary.BigEndian.Uint32(c.DUID[5:])
		}
		return nil
	})
	if status, ok := errors.AsType[*requestor.StatusError](err); ok && status.Status == dhcpv6.StatusNotConfigured {
		return saw, nil // a link that has no bindings yet: the checker knows whether that may be
	}
	return saw, err
}
