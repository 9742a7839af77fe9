package cluster

import (
	"strings"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster/transport"
)

// place is where a member is and what it is called. The replicated membership carries all of it in Raft's one address of a
// server, so that a node knows whom to ask for a read index though it hears no gossip:
//
//	raft host:port "/" gRPC host:port "/" name
type place struct {
	raft, grpc, name string
}

// address is the place as the membership carries it.
func (p place) address() raft.ServerAddress {
	return raft.ServerAddress(p.raft + transport.AddressEnd + p.grpc + transport.AddressEnd + p.name)
}

// placeOf reads a member's address.
func placeOf(a raft.ServerAddress) place {
	parts := strings.SplitN(string(a), transport.AddressEnd, 3)
	parts = append(parts, "", "")
	return place{raft: parts[0], grpc: parts[1], name: parts[2]}
}

// ownPlace is this node's.
func (n *Node) ownPlace() place {
	return place{raft: n.cfg.RaftAddress, grpc: n.cfg.GRPCAddress, name: n.cfg.Name}
}
