package main

import (
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/feed/synthetic"
)

// roundsOf is how often a test of random moments is repeated: LEASEHOLD_ROUNDS, or a few times.
func roundsOf(t *testing.T, few int) int { return amount(t, "LEASEHOLD_ROUNDS", few) }

// amount is what an environment variable says, or short.
func amount(t *testing.T, name string, short int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return short
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("%s: %q is no number of things", name, s)
	}
	return n
}

// wantListed is what a node must list when a generated source was fed.
func wantListed(s *synthetic.Source) map[string]string {
	out := map[string]string{}
	for i := range s.Clients() {
		c := s.Client(i)
		out[c.Address.String()], out[c.Prefix.String()] = string(c.DUID), string(c.DUID)
	}
	return out
}

// TestKillAnyNodeDuringIngest kills a node with -9 at random moments of an ingest of 200,000 bindings, and brings it back. The
// feeder ends with exactly the right set on all nodes. Then all nodes are killed at once: what was acknowledged is there again.
func TestKillAnyNodeDuringIngest(t *testing.T) {
	t.Parallel()
	const leases = 200_000
	c := startCluster(t, 3)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var source *synthetic.Source
	for round := range roundsOf(t, 2) {
		var err error
		// Each round has other clients at the same addresses: everything changes hands.
		if source, err = synthetic.New(synthetic.Config{Leases: leases, Relays: 50, Seed: seed + uint64(round), Valid: 86400}); err != nil {
			t.Fatal(err)
		}
		feedWhileKilling(t, c, source, rng)
		if n := requireSameState(t, c); n != leases {
			t.Errorf("round %d: %d bindings, want %d", round, n, leases)
		}
	}
	requireListed(t, c, source)
	for _, n := range c.Nodes {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Start(deadline(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	requireSameState(t, c)
	requireListed(t, c, source)
}

func requireListed(t *testing.T, c *laptop.Cluster, source *synthetic.Source) {
	t.Helper()
	want := wantListed(source)
	for _, n := range c.Nodes {
		if got := listed(t, n); !maps.Equal(want, got) {
			t.Errorf("%s lists %d bindings, and they are not the %d that were fed", n.Name, len(got), len(want))
		}
	}
}

// feedWhileKilling feeds the source, kills two nodes, one after the other, at moments chosen by rng, and starts each again.
func feedWhileKilling(t *testing.T, c *laptop.Cluster, source *synthetic.Source, rng *rand.Rand) {
	t.Helper()
	ctx := deadline(t, 5*time.Minute)
	agent := newAgent(t, c, "killed", source)
	fed := make(chan error, 1)
	go func() { fed <- agent.Run(ctx) }()
	leases := uint64(2 * source.Clients())
	at := []uint64{rng.Uint64N(leases / 4), leases/4 + rng.Uint64N(leases/4)}
	for _, moment := range at {
		n := c.Nodes[rng.IntN(len(c.Nodes))]
		awaitAcknowledged(t, ctx, agent, moment, fed)
		t.Logf("kill -9 %s with %d of %d leases acknowledged", n.Name, agent.Totals().Leases, leases)
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		if err := n.AwaitReady(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-fed; err != nil {
		t.Fatalf("feed: %v", err)
	}
}

// awaitAcknowledged waits until so many leases are acknowledged, or the feeder has ended. It looks all the time: the moment is to be the
// one that was drawn.
func awaitAcknowledged(t *testing.T, ctx context.Context, agent *feed.Agent, leases uint64, fed <-chan error) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for agent.Totals().Leases < leases && len(fed) == 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("wait until %d leases are acknowledged: %v", leases, context.Cause(ctx))
		}
	}
}
