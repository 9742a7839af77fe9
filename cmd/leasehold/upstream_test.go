package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/feed/upstream"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// TestClusterIsNotFedFromItself has a cluster ask itself: it is noticed, and what it has stays its source's.
func TestClusterIsNotFedFromItself(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, "active.enabled=true", "active.insecure=true")
	server := newCampus(1)
	feeder := newAgent(t, c, "campus", server)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	running.Go(func() { _ = feeder.Run(ctx) }) // ends with ctx
	until(t, deadline(t, time.Minute), "the cluster has its leases", func() bool { return server.changes() > 0 })
	for _, active := range []bool{false, true} {
		config := campusUpstream(c.Leasequery())
		config.Active, config.Own = active, ownDUID(t, c)
		s, err := upstream.New(config)
		must(t, err)
		agent := newAgent(t, c, "itself", s)
		running.Go(func() { _ = agent.Run(ctx) })
		until(t, deadline(t, time.Minute), "it is noticed", func() bool { return strings.Contains(s.Condition().Trouble, "it is the cluster that is fed") })
	}
	for k, b := range survey(t, c.Nodes[0]).bindings {
		if b.GetSource() != "campus" {
			t.Fatalf("%s is from %s", k, b.GetSource())
		}
	}
}

// ownDUID tells the DUID that a cluster answers with.
func ownDUID(t *testing.T, c *laptop.Cluster) func(context.Context) ([]byte, error) {
	admin := adminOf(t, c.Nodes[0])
	return func(ctx context.Context) ([]byte, error) {
		s, err := admin.Status(ctx, &adminv1.StatusRequest{})
		return s.GetServerDuid(), err
	}
}

// upstreamCopy is a cluster that is fed from another by leasequery.
type upstreamCopy struct {
	name   string
	node   *laptop.Node
	source *upstream.Source
	agent  *feed.Agent
	skew   time.Duration // what the source measured when its first statement was whole: the clocks are one, so it is the error of its times
}

// campusUpstream is how a campus is asked for; a link of it is found by its relays as well.
func campusUpstream(servers []string) upstream.Config {
	c := upstream.Config{Servers: servers, RelayIDs: [][]byte{campusRelayID(1, 2)}}
	for i := range campusLinks {
		c.Links = append(c.Links, upstream.Link{Name: fmt.Sprintf("campus-%d", i), Prefixes: []netip.Prefix{campusPrefix(i)}})
	}
	c.Requestor = requestor.Config{ClientID: []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 9}, MinBackoff: 50 * time.Millisecond, MaxBackoff: time.Second,
		Silence: 20 * time.Second}
	return c
}

// TestClusterFedFromAnother feeds one cluster from another: by bulk leasequery, by one subscription to everything and by a subscription for
// each query. Meanwhile the other's bindings change at random and its nodes are killed, one after the other. In the end each copy has what
// the original has. LEASEHOLD_ROUNDS is how many times all nodes are killed.
func TestClusterFedFromAnother(t *testing.T) {
	t.Parallel()
	original := startCluster(t, 3, append([]string{"active.enabled=true", "active.insecure=true", "bulk.max_connections=100"}, quick...)...)
	seed := clustertest.Seed(t)
	server := newCampus(seed)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	fed := make(chan error, 1)
	feeder := newAgent(t, original, "campus", server)
	go func() { fed <- feeder.Run(ctx) }()
	until(t, deadline(t, time.Minute), "the original has its leases", func() bool { return server.changes() > 0 })

	copies := []*upstreamCopy{
		startCopy(t, original, "bulk", func(c *upstream.Config) { c.Every = time.Second }),
		startCopy(t, original, "everything", func(c *upstream.Config) { c.Active, c.Everything = true, true }),
		startCopy(t, original, "active", func(c *upstream.Config) { c.Active = true }),
	}
	for range roundsOf(t, 1) {
		for _, n := range original.Nodes {
			must(t, n.Kill())
			awaitChanges(t, server, "without "+n.Name)
			must(t, n.Start())
			must(t, n.AwaitReady(deadline(t, time.Minute)))
		}
		awaitChanges(t, server, "with all nodes")
	}
	stop()
	if err := <-fed; !errors.Is(err, context.Canceled) {
		t.Fatalf("the feeder ended with %v", err)
	}
	t.Logf("%d changes beyond the first statement", server.changes())
	for _, c := range copies {
		c.requireEqual(t, original)
	}
}

// awaitChanges waits until a good number of changes more were stated.
func awaitChanges(t *testing.T, s *campus, how string) {
	t.Helper()
	from := s.changes()
	until(t, deadline(t, time.Minute), "changes go on "+how, func() bool { return s.changes() > from+500 })
}

// startCopy starts a cluster of one node and its feeder, and waits until it is whole once.
func startCopy(t *testing.T, original *laptop.Cluster, name string, change func(*upstream.Config)) *upstreamCopy {
	t.Helper()
	c := startCluster(t, 1)
	config := campusUpstream(original.Leasequery())
	config.Own = ownDUID(t, c)
	change(&config)
	s, err := upstream.New(config)
	must(t, err)
	u := &upstreamCopy{name: name, node: c.Nodes[0], source: s, agent: newAgent(t, c, "upstream", s)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- u.agent.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the feeder of copy %s ended with %v", name, err)
		}
	})
	until(t, deadline(t, time.Minute), "copy "+name+" is whole", func() bool {
		r, err := adminOf(t, u.node).Sources(deadline(t, time.Minute), &adminv1.SourcesRequest{})
		must(t, err)
		return len(r.GetSources()) == 1 && r.GetSources()[0].GetLastResyncMs() > 0
	})
	u.skew = s.Condition().Skew
	return u
}

// requireEqual waits until the copy has what the original has, and tells the difference when it stays.
func (u *upstreamCopy) requireEqual(t *testing.T, original *laptop.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		want, got := survey(t, original.Nodes[0]), survey(t, u.node)
		diff := want.differences(got, 2*time.Second+u.skew.Abs())
		if len(diff) == 0 {
			c := u.source.Condition()
			t.Logf("copy %s: %d bindings, %d clients' relay data, as in the original; %+v, at first %v; counts %+v", u.name, len(want.bindings), len(want.told), c,
				u.skew, u.agent.Totals().Counts)
			if len(want.bindings) < campusClients || c.Refused > 0 {
				t.Errorf("copy %s: %d bindings, %+v", u.name, len(want.bindings), c)
			}
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("copy %s: %d differences, %+v; the first: %v", u.name, len(diff), u.source.Condition(), diff[:min(5, len(diff))])
		}
	}
}

// surveyed is all that a node has: its bindings, and what it tells of each client by leasequery but for times.
type surveyed struct {
	bindings map[string]*adminv1.Binding
	newest   map[string]int64 // transaction of a client, in milliseconds
	told     map[string]string
}

func survey(t *testing.T, n *laptop.Node) surveyed {
	t.Helper()
	out := surveyed{bindings: map[string]*adminv1.Binding{}, newest: map[string]int64{}, told: map[string]string{}}
	s, err := adminOf(t, n).ListBindings(deadline(t, time.Minute), &adminv1.ListBindingsRequest{Consistent: true})
	for err == nil {
		var r *adminv1.ListBindingsResponse
		if r, err = s.Recv(); err != nil {
			break
		}
		for _, b := range r.GetBindings() {
			if b.GetState() == "active" {
				out.bindings[b.GetAddress()+b.GetPrefix()] = b
				duid := string(b.GetDuid())
				out.newest[duid] = max(out.newest[duid], b.GetLastTransactionMs())
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Fatalf("list bindings of %s: %v", n.Name, err)
	}
	conn, err := requestor.Dial(deadline(t, time.Minute), n.LeasequeryTCP, campusUpstream(nil).Requestor)
	must(t, err)
	defer conn.Close()
	for i := range campusLinks {
		q := requestor.Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: campusPrefix(i).Addr(), RelayData: true, Options: []dhcpv6.OptionCode{dhcpv6.OptionClientFQDN}}
		must(t, conn.Query(deadline(t, time.Minute), q, func(c *requestor.Client) error {
			out.told[hex.EncodeToString(c.DUID)] += fmt.Sprintf("on link %d: %s\n", i, describeClient(c))
			return nil
		}))
	}
	return out
}

// describeClient is what was told of a client, but for times.
func describeClient(c *requestor.Client) string {
	var b bytes.Buffer
	for _, a := range c.Addresses {
		fmt.Fprintf(&b, "%v ", a.Address)
	}
	for _, p := range c.Prefixes {
		fmt.Fprintf(&b, "%v ", p.Prefix)
	}
	fmt.Fprintf(&b, "options %x", c.Options)
	if c.HasRelay {
		fmt.Fprintf(&b, " through %+v", c.Relay)
	}
	return b.String()
}

// differences are what other has otherwise. Times may differ by tolerance. Lifetimes count from the newest transaction of the client: those
// of another may be a second less, even if it was in the same one.
func (s surveyed) differences(other surveyed, tolerance time.Duration) (out []string) {
	keys := maps.Clone(s.bindings)
	maps.Copy(keys, other.bindings)
	apart := func(a, b int64) bool { return (time.Duration(a-b) * time.Millisecond).Abs() > tolerance }
	for k := range keys {
		a, b := s.bindings[k], other.bindings[k]
		switch {
		case a == nil || b == nil || !bytes.Equal(a.GetDuid(), b.GetDuid()):
			out = append(out, fmt.Sprintf("%s: %v, but %v", k, a, b))
			continue
		case !partial(a) && apart(s.newest[string(a.GetDuid())], other.newest[string(b.GetDuid())]), apart(ends(a, a.GetValid()), ends(b, b.GetValid())),
			a.GetRemainingPreferred() > 0 && apart(ends(a, a.GetPreferred()), ends(b, b.GetPreferred())):
			out = append(out, fmt.Sprintf("%s: times of %v, but %v", k, a, b))
		case !partial(a) && s.newest[string(a.GetDuid())]-a.GetLastTransactionMs() < 1000 && max(a.GetValid(), b.GetValid())-min(a.GetValid(), b.GetValid()) > 1:
			out = append(out, fmt.Sprintf("%s: lifetimes of %v, but %v", k, a, b))
		}
	}
	clients := maps.Clone(s.told)
	maps.Copy(clients, other.told)
	for k := range clients {
		if s.told[k] != other.told[k] {
			out = append(out, fmt.Sprintf("client %s is told %s but %s", k, cmp.Or(s.told[k], "nothing"), cmp.Or(other.told[k], "nothing")))
		}
	}
	slices.Sort(out)
	return out
}

func partial(b *adminv1.Binding) bool {
	return campusPartial(int(binary.BigEndian.Uint32(b.GetDuid()[6:])))
}

func ends(b *adminv1.Binding, lifetime uint32) int64 {
	return b.GetLastTransactionMs() + int64(lifetime)*1000
}
