//go:build linux

package feedtest

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// program is the program, built once.
var program string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "leasehold-test-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if program, err = Build(dir); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// leases is how many leases a test is to have: LEASEHOLD_LEASES, or a number that suits an ordinary run.
func leases(t *testing.T, ordinary int) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("LEASEHOLD_LEASES"))
	switch {
	case os.Getenv("LEASEHOLD_LEASES") == "":
		return ordinary
	case err != nil || n < 100:
		t.Fatalf("LEASEHOLD_LEASES=%q: want a number of 100 and more", os.Getenv("LEASEHOLD_LEASES"))
	}
	return n
}

// outage is how long all nodes are down: LEASEHOLD_OUTAGE, or 3 s.
func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("LEASEHOLD_OUTAGE")
	if text == "" {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("LEASEHOLD_OUTAGE: %v", err)
	}
	return d
}

// scene is a Kea that an agent feeds to a cluster, and its clients.
type scene struct {
	*testing.T
	cluster *Cluster
	kea     *Kea
	agent   *Agent
	air     *Air
	number  int
	began   time.Time

	doubtful map[netip.Prefix]bool // not compared
}

const source = "kea-a"

// newScene starts all of it.
func newScene(t *testing.T, config func(kea *netlab.Host) KeaConfig, args func(k *Kea) []string) *scene {
	t.Helper()
	if testing.Short() {
		t.Skip("whole processes are left out of short runs")
	}
	lab := netlab.New(t)
	s := &scene{T: t, cluster: StartCluster(t, lab, program, 3), began: time.Now()}
	server, clients := lab.Host("kea"), lab.Host("clients")
	s.kea = NewKea(t, server, config(server))
	s.agent = s.cluster.NewAgent(server, append([]string{"kea", "--source", source}, args(s.kea)...)...)
	s.kea.Start()
	s.agent.Start()
	s.air = NewAir(t, clients, server.Addr)
	return s
}

// clients makes new clients at a place.
func (s *scene) clients(n int, p Place) []*Client {
	s.number += n
	return s.air.Clients(s.number-n, n, p)
}

// everywhere makes new clients at the three places with long leases behind relays, and on the link.
func (s *scene) everywhere(n int) []*Client {
	var all []*Client
	for _, p := range []Place{Single, LDRA, Shared, OnLink} {
		all = append(all, s.clients(max(n/4, 1), p)...)
	}
	return all
}

// equal waits until the cluster has what Kea has.
func (s *scene) equal(step string) {
	s.Helper()
	begin := time.Now()
	n, last := 0, error(nil) // the differences that were seen last
	defer func() {
		if took := time.Since(begin); last != nil && (took > 5*time.Second || s.Failed()) {
			s.Logf("%v long: until then %v", took.Round(10*time.Millisecond), last)
		}
	}()
	Until(s.T, "the cluster is equal to Kea after: "+step, func(ctx context.Context) error {
		if err := s.agent.Awake(); err != nil {
			return err
		}
		node := s.cluster.Follower() // once: each question is a process
		got, err := s.cluster.Bindings(ctx, node, source)
		if err != nil {
			return err
		}
		want, err := s.kea.All()
		if err != nil {
			return err
		}
		for p := range s.doubtful {
			delete(want, p)
			delete(got, p)
		}
		n = len(want)
		relays := map[netip.Prefix]string{}
		for p, l := range want {
			relays[p], l.Relays = l.Relays, ""
			want[p] = l
		}
		if err := Differences(want, got, time.Now()); err != nil {
			last = err
			return err // without asking for the relays
		}
		for p, l := range want {
			l.Relays = relays[p]
			want[p] = l
		}
		for _, p := range Places() {
			if err := s.cluster.AddRelays(ctx, node, p.Link, got); err != nil {
				return err
			}
		}
		err = Differences(want, got, time.Now())
		if err != nil {
			last = err
		}
		return err
	})
	s.Logf("%6.1fs  equal after %v: %d leases: %s", time.Since(s.began).Seconds(), time.Since(begin).Round(10*time.Millisecond), n, step)
}

// while runs what clients do beside something else.
func (s *scene) while(clients []*Client, rate int, do func(*Client, context.Context) error, beside func()) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), Patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- Crowd(ctx, clients, rate, do) }()
	beside()
	if err := <-done; err != nil {
		s.Fatal(err)
	}
}

func TestFollower(t *testing.T) {
	lifecycle(t, func(*netlab.Host) KeaConfig { return KeaConfig{LFC: 1} }, func(k *Kea) []string {
		return []string{"--leases", k.Leases, "--kea-config", k.Config}
	})
}

func TestPullAlone(t *testing.T) {
	lifecycle(t, func(*netlab.Host) KeaConfig { return KeaConfig{LFC: 1} }, func(k *Kea) []string {
		return []string{"--control", "unix:" + k.Socket, "--resync", resync(time.Second)}
	})
}

func TestPushAndPull(t *testing.T) {
	lifecycle(t, func(kea *netlab.Host) KeaConfig {
		c := pushed(kea)
		c.LFC, c.Threads = 1, 8
		return c
	}, func(k *Kea) []string {
		return []string{"--push", k.Host.Addr4.String() + pushPort, "--control", "unix:" + k.Socket, "--resync", resync(3 * time.Second)}
	})
}

// TestEveryWayAtOnce is what docs/kea.md ends with: the file, commands and push.
func TestEveryWayAtOnce(t *testing.T) {
	lifecycle(t, func(kea *netlab.Host) KeaConfig {
		c := pushed(kea)
		c.LFC, c.Threads = 1, 8
		return c
	}, func(k *Kea) []string {
		return []string{"--leases", k.Leases, "--push", k.Host.Addr4.String() + pushPort, "--push-early", "--control", "unix:" + k.Socket, "--resync", resync(time.Hour)}
	})
}

// lifecycle does everything that happens to leases, to Kea, to the agent and to the cluster.
func lifecycle(t *testing.T, config func(kea *netlab.Host) KeaConfig, args func(k *Kea) []string) {
	t.Helper()
	t.Parallel() // it waits more than it works
	s := newScene(t, config, args)
	n := leases(t, 600) / 2 // each client has an address and a prefix
	s.leases(n)
	s.operator()
	s.restarts(n / 10)
	s.outages(n / 10)
	for _, c := range []struct {
		name string
		up   bool
	}{{"Kea", s.kea.Running()}, {"the agent", s.agent.Running()}} {
		if !c.up {
			t.Errorf("%s does not run at the end", c.name)
		}
	}
	s.equal("the end")
}

// leases is what clients do.
func (s *scene) leases(n int) {
	s.Helper()
	clients := s.everywhere(n)
	short := s.clients(max(n/20, 2), Short)
	Do(s.T, clients, (*Client).Acquire)
	s.equal("new leases")
	Do(s.T, short, (*Client).Acquire)
	part := func(i int) (some []*Client) { // an eighth of them, of all places
		for j := i; j < len(clients); j += 8 {
			some = append(some, clients[j])
		}
		return some
	}
	Do(s.T, part(0), (*Client).Renew)
	Do(s.T, part(1), (*Client).Rebind)
	Do(s.T, part(2), func(c *Client, ctx context.Context) error {
		if c.Place == Shared {
			return nil // Kea 2.2 denies addresses of the link's second subnet
		}
		return c.Confirm(ctx)
	})
	s.equal("renew, rebind, confirm")
	Do(s.T, part(3), (*Client).Release)
	s.equal("release")
	Do(s.T, part(4), (*Client).Decline)
	s.equal("decline")
	for _, c := range part(5) {
		c.AddressOnly = true
	}
	Do(s.T, part(5), (*Client).Release)
	s.equal("release of addresses without prefixes")
	s.gone(short)
	s.equal("expiry")
	Do(s.T, part(3), (*Client).Acquire)
	Do(s.T, short, (*Client).Acquire)
	s.equal("leases again for those who gave them back")
}

// gone waits until Kea has forgotten leases that expire.
func (s *scene) gone(clients []*Client) {
	s.Helper()
	Until(s.T, "Kea reclaims what has expired", func(context.Context) error {
		all, err := s.kea.All()
		if err != nil {
			return err
		}
		for _, c := range clients {
			if _, there := all[netip.PrefixFrom(c.Address, 128)]; there {
				return fmt.Errorf("%v is still there", c.Address)
			}
		}
		return nil
	})
}

// operator is what an operator does by commands.
func (s *scene) operator() {
	s.Helper()
	lease := func(i int, members map[string]any) map[string]any {
		l := map[string]any{"subnet-id": 1, "ip-address": fmt.Sprintf("2001:db8:1001::2:%x", i), "duid": fmt.Sprintf("00:03:00:01:0a:00:00:00:00:%02x", i), "iaid": 4294967295 - i}
		for name, value := range members {
			l[name] = value
		}
		return l
	}
	prefix := map[string]any{"type": "IA_PD", "ip-address": "2001:db8:a001:fff0::", "prefix-len": 60, "user-context": map[string]any{"operator": "a,b&c\u00e9"}}
	for i := range 5 {
		s.kea.Command("lease6-add", lease(i, nil), nil)
	}
	s.kea.Command("lease6-add", lease(5, prefix), nil)
	s.equal("lease6-add")
	s.kea.Command("lease6-update", lease(0, map[string]any{"valid-lft": 999, "preferred-lft": 99}), nil)
	s.kea.Command("lease6-update", lease(1, map[string]any{"duid": "00:03:00:01:0b:00:00:00:00:01"}), nil)
	s.equal("lease6-update")
	s.kea.Command("lease6-del", map[string]any{"ip-address": "2001:db8:1001::2:2"}, nil)
	s.kea.Command("lease6-del", map[string]any{"ip-address": "2001:db8:a001:fff0::", "type": "IA_PD"}, nil)
	s.equal("lease6-del")
	s.kea.Command("lease6-wipe", map[string]any{"subnet-id": 2}, nil)
	s.equal("lease6-wipe")
}

// restarts ends and starts Kea and the agent.
func (s *scene) restarts(n int) {
	s.Helper()
	s.kea.Stop(Patience)
	s.kea.Start()
	Do(s.T, s.everywhere(n), (*Client).Acquire)
	s.equal("restart of Kea")
	s.while(s.everywhere(n), 100, (*Client).Acquire, func() {
		s.kea.Kill()
		s.kea.Start()
	})
	s.equal("kill -9 of Kea")
	s.while(s.everywhere(n), 100, (*Client).Acquire, func() {
		s.agent.Stop(Patience)
		s.agent.Start()
	})
	s.equal("restart of the agent")
	old := s.everywhere(n)
	Do(s.T, old, (*Client).Acquire)
	s.while(s.everywhere(n), 100, (*Client).Acquire, s.agent.Kill)
	Do(s.T, old, (*Client).Release)
	s.agent.Start()
	s.equal("kill -9 of the agent, releases while it is away")
}

// outages ends nodes of the cluster.
func (s *scene) outages(n int) {
	s.Helper()
	s.while(s.everywhere(n), 100, (*Client).Acquire, func() { s.cluster.Leader().Kill() })
	s.equal("kill -9 of the leader")
	s.cluster.Start()
	s.equal("the former leader is back")
	old := s.everywhere(n)
	Do(s.T, old, (*Client).Acquire)
	s.equal("leases before the outage")
	over := time.NewTimer(outage(s.T))
	s.cluster.Kill()
	s.while(s.everywhere(n), 100, (*Client).Acquire, func() {})
	Do(s.T, old, (*Client).Release)
	<-over.C
	s.cluster.Start()
	s.equal("all nodes were down")
}

// resync is how often everything is stated again: LEASEHOLD_RESYNC, or d.
func resync(d time.Duration) string { return cmp.Or(os.Getenv("LEASEHOLD_RESYNC"), d.String()) }
