package membership

import (
	"encoding/json"
	"fmt"
)

// The states of a peer, as gossip sees it: advice only.
const (
	Alive   = "alive"
	Dead    = "dead"
	Left    = "left"
	Unknown = "unknown" // only remembered, not heard of since the start
)

// Peer is what a node says of itself, or what is remembered of it.
type Peer struct {
	ID            string `json:"id"`                // the node's id: the Raft server id
	Name          string `json:"name,omitempty"`    // what operators call it
	RaftAddress   string `json:"raft,omitempty"`    // host:port
	GRPCAddress   string `json:"grpc,omitempty"`    // host:port
	Expect        int    `json:"expect,omitempty"`  // how many nodes it wants to found the cluster with; 0: it only joins
	Voter         bool   `json:"voter,omitempty"`   // whether it wants a vote
	HasState      bool   `json:"state,omitempty"`   // whether it has a Raft log or snapshot of its own
	ClusterID     string `json:"cluster,omitempty"` // empty before it is in a cluster
	GossipAddress string `json:"gossip,omitempty"`  // host:port; in the peers file only: gossip itself knows it
	Heard         int64  `json:"heard,omitempty"`   // when it was last heard, seconds since 1970 by this node's wall clock; peers file only
	State         string `json:"-"`                 // Alive, Dead, Left or Unknown
}

// maxMeta is what memberlist carries of a node (memberlist.MetaMaxSize).
const maxMeta = 512

// meta is the peer as gossip carries it.
func (p Peer) meta() ([]byte, error) {
	p.GossipAddress, p.Heard = "", 0
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode node's gossip: %w", err)
	}
	if len(b) > maxMeta {
		return nil, fmt.Errorf("name and addresses of node %q make %d octets of gossip, want at most %d: shorten them", p.Name, len(b), maxMeta)
	}
	return b, nil
}

// parseMeta reads what another node's gossip says of it.
func parseMeta(b []byte) (Peer, error) {
	var p Peer
	if err := json.Unmarshal(b, &p); err != nil {
		return Peer{}, fmt.Errorf("decode node's gossip: %w", err)
	}
	return p, nil
}
