package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/cmd/leasehold/deployment"
)

func deployBirdCommand() *cobra.Command {
	var f deployFlags
	var b deployment.Bird
	var addresses, peers []string
	var ids string
	c := &cobra.Command{
		Use:     "bird --address ADDRESS --peer ADDRESS=AS --out FOLDER",
		Short:   "Write bird's configuration for every node: anycast addresses by BGP",
		Example: "  leasehold deploy bird --cluster [2001:db8:547::1]:5470 --address 2001:db8::547 --peer 2001:db8:547::fe=64500 --out deploy",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := parseBird(&b, addresses, peers, ids); err != nil {
				return err
			}
			if err := f.complete(cmd); err != nil {
				return err
			}
			b.Plan = f.plan
			files, err := b.Files()
			if err != nil {
				return err
			}
			return f.write(cmd, files)
		},
	}
	f.add(c)
	fl := c.Flags()
	fl.StringArrayVar(&addresses, "address", nil, "an anycast address")
	fl.StringArrayVar(&peers, "peer", nil, "a router that each node has a BGP session with, address=AS")
	fl.Uint32Var(&b.AS, "as", deployment.DefaultAS, "AS number of the nodes")
	fl.StringVar(&ids, "router-ids", deployment.DefaultRouterIDs, "IPv4 address that the nodes' router ids are counted from")
	fl.BoolVar(&b.BFD, "bfd", true, "find dead machines by BFD, if the router speaks it")
	fl.StringVar(&b.Birdc, "birdc", "/usr/sbin/birdc", "path of birdc on the nodes")
	fl.StringVar(&b.Socket, "bird-socket", "", "bird's control socket, if it is not at its usual place")
	_ = errors.Join(c.MarkFlagRequired("address"), c.MarkFlagRequired("peer")) // the flags were defined above
	return c
}

func parseBird(b *deployment.Bird, addresses, peers []string, ids string) error {
	for _, s := range addresses {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("--address: %w", err)
		}
		b.Addresses = append(b.Addresses, a)
	}
	for _, s := range peers {
		p := deployment.Peer{}
		addr, as, ok := strings.Cut(s, "=")
		a, err := netip.ParseAddr(addr)
		if _, scanErr := fmt.Sscanf(as, "%d", &p.AS); !ok || err != nil || scanErr != nil {
			return fmt.Errorf("--peer %q: want address=AS, such as 2001:db8:547::fe=64500", s)
		}
		p.Addr = a
		b.Peers = append(b.Peers, p)
	}
	var err error
	if b.RouterIDs, err = netip.ParseAddr(ids); err != nil {
		return fmt.Errorf("--router-ids: %w", err)
	}
	return nil
}
