package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/cmd/leasehold/deployment"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

func deployCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "deploy",
		Short: "Write what runs beside the nodes: keepalived or bird",
		Long: "Write the complete configuration of keepalived (virtual addresses on one network) or bird (anycast by BGP) for every\n" +
			"node of a cluster, with the unit of the agent that tells them of readiness, ready to be copied to the nodes.",
	}
	c.AddCommand(deployKeepalivedCommand(), deployBirdCommand())
	return c
}

// deployFlags are what both kinds of deployment have in common.
type deployFlags struct {
	call  adminCall
	nodes []string
	out   string
	plan  deployment.Plan
}

func (f *deployFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringSliceVar(&f.call.cluster, "cluster", []string{"127.0.0.1:5470"}, "gRPC addresses of nodes, host:port, tried in turn: all members are written for")
	fl.DurationVar(&f.call.timeout, "timeout", 10*time.Second, "give up asking the cluster after this long")
	fl.StringArrayVar(&f.nodes, "node", nil, "a node, name=address: its IPv6 address on the network of relays or routers; instead of --cluster")
	fl.StringVar(&f.out, "out", "", "folder to write to: a folder for each node")
	fl.StringVar(&f.plan.Interface, "interface", "eth0", "the nodes' interface to relays or routers")
	fl.StringVar(&f.plan.HTTP, "http", deployment.DefaultHTTP, "http.listen of each node, as seen on its own machine")
	fl.StringVar(&f.plan.Binary, "binary", deployment.DefaultBinary, "path of leasehold on the nodes")
	_ = c.MarkFlagRequired("out") // the flag was defined above
}

// repeatable are the flags that the files' first lines tell of, beside --node.
var repeatable = []string{"address", "peer", "as", "router-id", "router-ids", "interface", "advert", "unicast", "bfd", "http", "binary", "track-file",
	"birdc", "bird-socket"}

// complete finds the nodes and notes the command that makes the same again.
func (f *deployFlags) complete(cmd *cobra.Command) error {
	var err error
	if len(f.nodes) > 0 {
		f.plan.Nodes, err = parseNodes(f.nodes)
	} else {
		err = f.call.do(cmd.Context(), f.askNodes)
	}
	if err != nil {
		return err
	}
	line := []string{cmd.CommandPath()}
	for _, n := range f.plan.Nodes {
		line = append(line, "--node", n.Name+"="+n.Addr.String())
	}
	for _, name := range repeatable {
		fl := cmd.Flags().Lookup(name)
		if fl == nil || !fl.Changed {
			continue
		}
		values := []string{fl.Value.String()}
		if list, ok := fl.Value.(interface{ GetSlice() []string }); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			line = append(line, "--"+name+"="+v)
		}
	}
	f.plan.Command = strings.Join(append(line, "--out", "."), " ")
	return nil
}

// parseNodes reads name=address.
func parseNodes(list []string) ([]deployment.Node, error) {
	var out []deployment.Node
	for _, s := range list {
		name, addr, ok := strings.Cut(s, "=")
		a, err := netip.ParseAddr(addr)
		if !ok || err != nil {
			return nil, fmt.Errorf("--node %q: want name=address, such as node1=2001:db8:547::1", s)
		}
		out = append(out, deployment.Node{Name: name, Addr: a})
	}
	return out, nil
}

// askNodes takes the members of the cluster, at the addresses by which they know each other.
func (f *deployFlags) askNodes(ctx context.Context, admin adminv1.AdminClient) error {
	r, err := admin.Members(ctx, &adminv1.MembersRequest{})
	if err != nil {
		return err
	}
	if len(r.GetMembers()) == 0 {
		return errAskNext
	}
	f.plan.Nodes = nil
	for _, m := range r.GetMembers() {
		host, _, err := net.SplitHostPort(m.GetRaftAddress())
		if err != nil {
			return fmt.Errorf("raft address of %s: %w", m.GetName(), err)
		}
		a, err := netip.ParseAddr(host)
		if err != nil || !a.Is6() || a.Is4In6() {
			return fmt.Errorf("%s is known as %s, and virtual addresses are IPv6: name all nodes by --node name=address", m.GetName(), host)
		}
		f.plan.Nodes = append(f.plan.Nodes, deployment.Node{Name: m.GetName(), Addr: a})
	}
	return nil
}

// write writes the files and says which.
func (f *deployFlags) write(cmd *cobra.Command, files []deployment.File) error {
	if err := deployment.Write(f.out, files); err != nil {
		return err
	}
	for _, file := range files {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), filepath.Join(f.out, filepath.FromSlash(file.Path))); err != nil {
			return err
		}
	}
	return nil
}

func deployKeepalivedCommand() *cobra.Command {
	var f deployFlags
	var k deployment.Keepalived
	var addresses []string
	c := &cobra.Command{
		Use:   "keepalived --address ADDRESS/LENGTH --out FOLDER",
		Short: "Write keepalived's configuration for every node: virtual addresses on one network (VRRP)",
		Example: "  leasehold deploy keepalived --cluster [2001:db8:547::1]:5470 --address 2001:db8:547::547/64 --out deploy\n" +
			"  leasehold deploy keepalived --node a=2001:db8:547::1 --node b=2001:db8:547::2 --address 2001:db8:547::547/64 --out deploy",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, s := range addresses {
				a, err := netip.ParsePrefix(s)
				if err != nil {
					return fmt.Errorf("--address: %w", err)
				}
				k.Addresses = append(k.Addresses, a)
			}
			if err := f.complete(cmd); err != nil {
				return err
			}
			k.Plan = f.plan
			files, err := k.Files()
			if err != nil {
				return err
			}
			return f.write(cmd, files)
		},
	}
	f.add(c)
	fl := c.Flags()
	fl.StringArrayVar(&addresses, "address", nil, "a virtual address with the length of its network's prefix; several are held one by one")
	fl.IntVar(&k.RouterID, "router-id", deployment.DefaultRouterID, "virtual router id of the first address, 1 to 255, that nothing else on the network uses")
	fl.DurationVar(&k.Advert, "advert", deployment.DefaultAdvert, "between VRRP advertisements: a dead machine is noticed after three")
	fl.BoolVar(&k.Unicast, "unicast", false, "advertise to each node's address, for networks without multicast")
	fl.StringVar(&k.TrackFile, "track-file", deployment.TrackFile, "where the agent tells keepalived of readiness")
	_ = c.MarkFlagRequired("address") // the flag was defined above
	return c
}
