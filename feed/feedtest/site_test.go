//go:build linux

package feedtest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// site is a DHCP server that is not Kea, as deploy/examples has it, with the agent beside it and clients behind relays.
type site struct {
	*testing.T
	name    string
	cluster *Cluster
	host    *netlab.Host
	agent   *Agent
	server  *netlab.Process
	fragile bool         // kill -9 may cost it its leases, and its DUID
	links   []netip.Addr // of clients
	launch  func() *netlab.Process
	read    func(now time.Time) (map[netip.Prefix]Lease, error) // its lease file
	clients func(n int) []*Client                               // new ones
}

// example writes the files of deploy/examples/NAME into a folder, with other paths in them.
func example(t *testing.T, name, dir string, paths ...string) {
	t.Helper()
	r := strings.NewReplacer(paths...)
	from := filepath.Join("..", "..", "deploy", "examples", name)
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f.Name()), []byte(r.Replace(string(text))), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// nodes is what feeder.yaml of the examples says, and what it is to say here.
func (c *Cluster) nodes() (example, here string) {
	var quoted []string
	for _, n := range c.Nodes {
		quoted = append(quoted, fmt.Sprintf("%q", n.GRPC))
	}
	return `["192.0.2.1:5470", "192.0.2.2:5470", "192.0.2.3:5470"]`, "[" + strings.Join(quoted, ", ") + "]"
}

// start starts the server, and the agent of a feeder.yaml, which `leasehold config check` must like.
func (o *site) start(file string) {
	o.Helper()
	if out, err := exec.Command(program, "config", "check", "--feed", file).CombinedOutput(); err != nil {
		o.Fatalf("config check --feed %s: %v\n%s", file, err, out)
	}
	o.agent = &Agent{Host: o.host, tb: o, binary: program, args: []string{"feed", "--config", file}}
	o.server = o.launch()
	o.agent.Start()
	o.Cleanup(func() {
		if o.Failed() {
			o.Logf("the agent of %s wrote:\n%s\n%s wrote:\n%s", o.name, last(o.agent.Output(), 4000), o.name, last(o.server.Output(), 4000))
		}
	})
}

// equal waits until the cluster has what the server's lease file has.
func (o *site) equal(step string) {
	o.Helper()
	begin, n, told := time.Now(), 0, false
	Until(o.T, fmt.Sprintf("the cluster is equal to %s after: %s", o.name, step), func(ctx context.Context) (err error) {
		defer func() {
			if err != nil && !told && time.Since(begin) > 10*time.Second {
				o.Logf("%s not equal after %v: %v", o.name, time.Since(begin), err)
				told = true
			}
		}()
		if err := o.agent.Awake(); err != nil {
			return err
		}
		node := o.cluster.Follower()
		got, err := o.cluster.Bindings(ctx, node, o.name)
		if err != nil {
			return err
		}
		for _, link := range o.links {
			if err := o.cluster.AddRelays(ctx, node, link, got); err != nil {
				return err
			}
		}
		want, err := o.read(time.Now())
		if err != nil {
			return err
		}
		n = len(want)
		return Differences(want, got, time.Now())
	})
	o.Logf("%s equal after %v: %d leases: %s", o.name, time.Since(begin).Round(10*time.Millisecond), n, step)
}

// leases is what clients do.
func (o *site) leases() {
	o.Helper()
	all := o.clients(24)
	Do(o.T, all, (*Client).Acquire)
	o.equal("new leases")
	var want map[netip.Prefix]Lease
	Until(o.T, "the lease file is whole", func(context.Context) (err error) { // a message that came twice has the server write it again
		want, err = o.read(time.Now())
		return err
	})
	if len(want) < len(all) {
		o.Fatalf("%d leases of %d clients", len(want), len(all))
	}
	for _, c := range all {
		if l := want[netip.PrefixFrom(c.Address, 128)]; l.DUID != c.DUID() || l.IAID != c.IAID() || l.Relays == "" {
			o.Errorf("%v of client %s is %+v", c.Address, c.DUID(), l)
		}
	}
	Do(o.T, all[:6], (*Client).Renew)
	Do(o.T, all[6:12], (*Client).Rebind)
	o.equal("renew, rebind")
	Do(o.T, all[12:15], (*Client).Release)
	o.equal("release")
	Do(o.T, all[15:18], (*Client).Decline)
	o.equal("decline")
	Do(o.T, all[12:15], (*Client).Acquire)
	o.equal("leases again for those who gave them back")
}

// restarts ends and starts the server and the agent.
func (o *site) restarts() {
	o.Helper()
	o.server.Stop(Patience)
	o.server = o.launch()
	some := o.clients(8)
	Do(o.T, some, (*Client).Acquire)
	o.equal("restart of the server")
	o.agent.Kill()
	Do(o.T, some[:3], (*Client).Renew)
	Do(o.T, some[3:6], (*Client).Release)
	if o.fragile {
		o.server.Stop(Patience)
	} else {
		o.server.Kill()
	}
	o.server = o.launch() // dhcpd writes its file anew
	Do(o.T, some[6:], (*Client).Renew)
	o.agent.Start()
	o.equal("kill -9 of the agent, end of the server, renewals and releases while the agent is away")
}

// outage is what happens while all nodes are down.
func (o *site) outage() {
	o.Helper()
	some := o.clients(8)
	Do(o.T, some[:4], (*Client).Acquire)
	o.equal("leases before the outage")
	o.cluster.Kill()
	Do(o.T, some[4:], (*Client).Acquire)
	Do(o.T, some[:2], (*Client).Release)
	Do(o.T, some[2:4], (*Client).Renew)
	timer := time.NewTimer(outage(o.T))
	defer timer.Stop()
	<-timer.C
	o.cluster.Start()
	o.equal("all nodes were down")
}

// gone waits until the server has forgotten leases that expire.
func (o *site) gone(clients []*Client) {
	o.Helper()
	Until(o.T, "the leases expire", func(context.Context) error {
		all, err := o.read(time.Now())
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

// lay writes a file, or behind what it has.
func lay(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}
