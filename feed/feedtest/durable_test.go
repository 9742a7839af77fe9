//go:build linux

package feedtest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

const pushPort = ":5478"

// pushed is the configuration of a Kea that sends each change to an agent beside it.
func pushed(kea *netlab.Host) KeaConfig {
	return KeaConfig{Push: []string{"http://" + kea.Addr4.String() + pushPort + "/"}}
}

// TestAnsweredMeansDurable: with wait-backup-ack, whoever has an answer of Kea has its lease in the cluster, although the leader is
// killed meanwhile, and even the agent at the same moment. The agent has no other way than push, and a new one knows nothing of what
// the old one had not passed on: nothing is repaired later.
func TestAnsweredMeansDurable(t *testing.T) {
	t.Run("the leader is killed", func(t *testing.T) {
		t.Parallel()
		durable(t, func(_ *scene, leader *Node) { leader.Kill() })
	})
	t.Run("the leader and the agent are killed", func(t *testing.T) {
		t.Parallel()
		durable(t, func(s *scene, leader *Node) {
			leader.Kill()
			s.agent.Kill()
			s.agent.Start()
		})
	})
}

// durable kills what there is to kill when half of the clients are answered.
func durable(t *testing.T, kill func(s *scene, leader *Node)) {
	t.Helper()
	s := newScene(t, func(kea *netlab.Host) KeaConfig {
		c := pushed(kea)
		c.WaitAck, c.Threads = true, 16
		return c
	}, func(k *Kea) []string { return []string{"--push", k.Host.Addr4.String() + pushPort} })
	clients := s.clients(leases(t, 800)/2, Single)
	var answered, silent atomic.Int64
	half := make(chan struct{})
	got := make([]bool, len(clients))
	acquire := func(c *Client, ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		err := c.Acquire(ctx)
		switch {
		case errors.Is(err, ErrSilent):
			silent.Add(1)
			return nil
		case err != nil:
			return err
		}
		got[c.Number-clients[0].Number] = true
		if answered.Add(1) == int64(len(clients)/2) {
			close(half)
		}
		return nil
	}
	s.while(clients, 0, acquire, func() {
		leader := s.cluster.Leader()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		select {
		case <-half:
			kill(s, leader)
		case <-ctx.Done():
			t.Errorf("%d of %d clients were answered; the leader lives", answered.Load(), len(clients))
		}
	})
	have, err := s.cluster.Bindings(t.Context(), s.cluster.Follower(), source)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range clients {
		if err := c.in(have); got[i] && err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d clients were answered, %d were not, in %.1fs", answered.Load(), silent.Load(), time.Since(s.began).Seconds())
	if answered.Load() < int64(len(clients))/2+1 {
		t.Error("nobody was answered after the leader's end")
	}
}

// in tells whether the client's leases are among them.
func (c *Client) in(have map[netip.Prefix]Lease) error {
	for _, p := range []netip.Prefix{netip.PrefixFrom(c.Address, 128), c.Delegated} {
		l, there := have[p]
		if !there {
			return fmt.Errorf("client %d was given %v, which is not in the cluster", c.Number, p)
		}
		if l.DUID != c.DUID() || l.IAID != c.IAID() || l.Valid != uint32(c.Valid/time.Second) {
			return fmt.Errorf("client %d, %s, was given %v for %v; the cluster has %+v", c.Number, c.DUID(), p, c.Valid, l)
		}
	}
	return nil
}
