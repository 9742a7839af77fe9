//go:build linux

package feedtest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// TestDelay measures how long after Kea's Reply a relay that asks another node than the leader is told of the lease, while Kea
// gives 1,000 leases a second. It prints; it asserts only that every lease arrives.
func TestDelay(t *testing.T) {
	t.Run("push", func(t *testing.T) {
		delay(t, func(kea *netlab.Host) KeaConfig { c := pushed(kea); c.Threads = 16; return c }, func(k *Kea) []string {
			return []string{"--push", k.Host.Addr4.String() + pushPort, "--control", "unix:" + k.Socket}
		})
	})
	t.Run("push, answered early, from Kea without threads", func(t *testing.T) {
		delay(t, pushed, func(k *Kea) []string {
			return []string{"--push", k.Host.Addr4.String() + pushPort, "--push-early", "--control", "unix:" + k.Socket}
		})
	})
	t.Run("follower", func(t *testing.T) {
		delay(t, func(*netlab.Host) KeaConfig { return KeaConfig{LFC: 1} }, func(k *Kea) []string {
			return []string{"--leases", k.Leases, "--kea-config", k.Config}
		})
	})
}

func delay(t *testing.T, config func(kea *netlab.Host) KeaConfig, args func(k *Kea) []string) {
	t.Helper()
	const rate = 500 // clients a second, each of which gets an address and a prefix
	s := newScene(t, config, args)
	node := s.cluster.Follower()
	Do(t, s.clients(10, Single), (*Client).Acquire)
	s.equal("the first leases")
	var mu sync.Mutex
	var delays []time.Duration
	clients := s.clients(leases(t, 1000)/2, Single)
	begin := time.Now()
	s.while(clients, rate, func(c *Client, ctx context.Context) error {
		if err := c.Acquire(ctx); err != nil || c.Number%5 != 0 {
			return err
		}
		at, err := s.air.Lookup(ctx, node, c.Address)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		delays = append(delays, at.Sub(c.Replied))
		return nil
	}, func() {})
	took := time.Since(begin)
	slices.Sort(delays)
	t.Logf("%d leases at %.0f a second; Reply to a relay's answer from %s: p50 %v, p99 %v, most %v (%d looked up)", 2*len(clients),
		float64(2*len(clients))/took.Seconds(), node.Name, delays[len(delays)/2].Round(10*time.Microsecond),
		delays[len(delays)*99/100].Round(10*time.Microsecond), delays[len(delays)-1].Round(10*time.Microsecond), len(delays))
	s.equal("the load")
}
