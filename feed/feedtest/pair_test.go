//go:build linux

package feedtest

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// pair is two Keas with the same clients, each with an agent of its own; both agents name the same source.
type pair struct {
	*scene
	mode   string
	keas   [2]*Kea
	agents [2]*Agent
}

// TestPair ends and starts the servers of a pair, and their agents, while clients come and go. The agents walk through everything
// only when they must: at their start, and when a server has restarted.
func TestPair(t *testing.T) {
	for _, mode := range []string{"hot-standby", "load-balancing"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, mode)
			n := leases(t, 200) / 2
			old := p.some(n)
			Do(t, old, (*Client).Acquire)
			p.same("new leases")
			Do(t, old[:n/2], (*Client).Renew)
			Do(t, old[n/2:n/2+n/8], (*Client).Release)
			Do(t, old[n/2+n/8:n/2+n/4], (*Client).Decline)
			p.same("renew, release, decline")
			p.agentAway(0, old[:n/8], n)
			p.agentAway(1, old[n/8:n/4], n)
			p.away(0, old[n/4:n/2], n)
			p.away(1, p.newcomers(n/4), n)
			p.same("the end")
		})
	}
}

func newPair(t *testing.T, mode string) *pair {
	t.Helper()
	if testing.Short() {
		t.Skip("whole processes are left out of short runs")
	}
	lab := netlab.New(t)
	p := &pair{mode: mode, scene: &scene{T: t, cluster: StartCluster(t, lab, program, 3), began: time.Now(), doubtful: map[netip.Prefix]bool{}}}
	clients, hosts := lab.Host("clients"), [2]*netlab.Host{lab.Host("keaa"), lab.Host("keab")}
	for i, h := range hosts {
		c := pushed(h)
		c.Threads, c.Pair = 4, &Pair{Mode: mode, Hosts: hosts, Second: i == 1}
		k := NewKea(t, h, c)
		way := []string{"--control", fmt.Sprintf("http://%v:8001/", h.Addr4)}
		if i == 1 { // one from afar, one beside its server
			way = []string{"--control", "unix:" + k.Socket, "--leases", k.Leases}
		}
		args := append([]string{"kea", "--source", source, "--push", h.Addr4.String() + pushPort, "--resync", resync(time.Hour)}, way...)
		p.keas[i], p.agents[i] = k, p.cluster.NewAgent(h, args...)
	}
	for i := range p.keas {
		p.keas[i].Start()
		p.agents[i].Start()
	}
	p.air = NewAir(t, clients, hosts[0].Addr, hosts[1].Addr)
	p.together()
	return p
}

// some are new clients behind relays.
func (p *pair) some(n int) []*Client {
	return append(p.clients(n/2, Single), p.clients(n-n/2, LDRA)...)
}

// state waits until a server is in a state of its pair.
func (p *pair) state(i int, want string) {
	p.Helper()
	Until(p.T, fmt.Sprintf("%s is in state %s", p.keas[i].Host.Name, want), func(context.Context) error {
		var heartbeat struct{ State string }
		if err := p.keas[i].Try("ha-heartbeat", nil, &heartbeat); err != nil {
			return err
		}
		if heartbeat.State != want {
			return fmt.Errorf("it is %s", heartbeat.State)
		}
		return nil
	})
}

// together waits until the two serve together.
func (p *pair) together() {
	p.Helper()
	for i := range p.keas {
		p.state(i, p.mode)
	}
}

// same waits until the cluster has what each of the servers has.
func (p *pair) same(step string) {
	p.Helper()
	for i := range p.keas {
		p.as(i, step)
	}
}

// as waits until the cluster has what a server has.
func (p *pair) as(i int, step string) {
	p.Helper()
	p.kea, p.agent = p.keas[i], p.agents[i]
	p.equal(fmt.Sprintf("%s, as %s has it", step, p.kea.Host.Name))
}

// newcomers are new clients that have leases.
func (p *pair) newcomers(n int) []*Client {
	p.Helper()
	all := p.some(n)
	Do(p.T, all, (*Client).Acquire)
	return all
}

// away ends a server; the other one serves its clients and new ones. Then it is back.
func (p *pair) away(i int, old []*Client, n int) {
	p.Helper()
	name := p.keas[i].Host.Name
	p.keas[i].Kill()
	p.state(1-i, "partner-down")
	Do(p.T, old, (*Client).Rebind)
	Do(p.T, p.some(n/4), (*Client).Acquire)
	p.as(1-i, "kill -9 of "+name)
	gone := old[:len(old)/2]
	Do(p.T, gone, (*Client).Release)
	p.as(1-i, "release while "+name+" is away")
	for _, c := range gone { // Kea 2.2 does not learn of them from its partner: it takes the leases for in force when it is back
		p.doubtful[netip.PrefixFrom(c.Address, 128)], p.doubtful[c.Delegated] = true, true
	}
	p.while(p.some(n/4), 0, (*Client).Acquire, func() { p.keas[i].Start() })
	p.together()
	p.same(name + " is back")
	Do(p.T, old[len(old)/2:], (*Client).Rebind)
	Do(p.T, p.some(n/4), (*Client).Acquire)
	p.same("clients go on")
}

// agentAway ends the agent of a server, whose clients come and go.
func (p *pair) agentAway(i int, old []*Client, n int) {
	p.Helper()
	p.agents[i].Kill()
	Do(p.T, old[:len(old)/2], (*Client).Release)
	Do(p.T, old[len(old)/2:], (*Client).Renew)
	Do(p.T, p.some(n/4), (*Client).Acquire)
	p.agents[i].Start()
	p.same("the agent of " + p.keas[i].Host.Name + " is back")
}
