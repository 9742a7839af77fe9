package membership

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// keepFor is how long a peer that is not heard is remembered.
const keepFor = 72 * time.Hour

// directory is every other node that is known.
type directory struct {
	path   string
	logger *slog.Logger
	dirty  chan struct{} // there is something to save

	mu       sync.Mutex
	known    map[string]Peer // by id
	selfID   string
	selfAddr string
}

func newDirectory(path string, logger *slog.Logger) *directory {
	d := &directory{path: path, logger: logger, dirty: make(chan struct{}, 1), known: map[string]Peer{}}
	if path == "" {
		return d
	}
	peers, err := readPeers(path)
	if err != nil {
		logger.Warn("known peers are ignored", "error", err)
	}
	oldest := time.Now().Add(-keepFor).Unix()
	for _, p := range peers {
		if p.ID != "" && p.Heard >= oldest {
			p.State = Unknown
			d.known[p.ID] = p
		}
	}
	return d
}

// setSelf tells which node this is, which is no peer of itself.
func (d *directory) setSelf(id, addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.selfID, d.selfAddr = id, addr
	delete(d.known, id)
}

func (d *directory) peers() []Peer {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]Peer, 0, len(d.known))
	for _, p := range d.known {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Peer) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// learn adds peers that gossip does not hear. What gossip says of a live one counts for more.
func (d *directory) learn(peers []Peer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range peers {
		old := d.known[p.ID]
		if p.ID == "" || p.ID == d.selfID || old.State == Alive {
			continue
		}
		p.GossipAddress, p.State, p.Heard = old.GossipAddress, Unknown, time.Now().Unix()
		d.put(p)
	}
}

// put stores a peer. One that has taken the place of another, under a new id at its Raft address, drives it out.
func (d *directory) put(p Peer) {
	for id, old := range d.known {
		if id != p.ID && old.RaftAddress == p.RaftAddress && old.State != Alive {
			delete(d.known, id)
		}
	}
	d.known[p.ID] = p
	select {
	case d.dirty <- struct{}{}:
	default:
	}
}

// heard takes in what gossip says of a node.
func (d *directory) heard(n *memberlist.Node, state string) {
	p, err := parseMeta(n.Meta)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case n.Name == d.selfID:
		return
	case err != nil:
		d.logger.Warn("peer's gossip is ignored", "id", n.Name, "address", n.Address(), "error", err)
		return
	}
	if old, ok := d.known[n.Name]; ok && state != Alive { // memberlist may have lost what the node said
		p = old
	}
	p.ID, p.State, p.GossipAddress, p.Heard = n.Name, state, n.Address(), time.Now().Unix()
	d.put(p)
}

// missing are the gossip addresses of the seeds and of known peers, without this node and those that are alive.
func (d *directory) missing(seeds []string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	alive := map[string]bool{d.selfAddr: true}
	for _, p := range d.known {
		if p.State == Alive {
			alive[p.GossipAddress] = true
		}
	}
	var out []string
	add := func(addr string) {
		if addr != "" && !alive[addr] {
			alive[addr] = true
			out = append(out, addr)
		}
	}
	for _, s := range seeds {
		add(s)
	}
	for _, p := range d.known {
		add(p.GossipAddress)
	}
	return out
}

func (d *directory) save() error {
	if d.path == "" {
		return nil
	}
	return writePeers(d.path, d.peers())
}

// events takes in memberlist's news. It is called with memberlist's locks held: it neither blocks nor calls back.
type events directory

// NotifyJoin takes in a node that is alive.
func (e *events) NotifyJoin(n *memberlist.Node) { (*directory)(e).heard(n, Alive) }

// NotifyUpdate takes in a node that says something else of itself.
func (e *events) NotifyUpdate(n *memberlist.Node) { (*directory)(e).heard(n, Alive) }

// NotifyLeave takes in a node that has failed or has left.
func (e *events) NotifyLeave(n *memberlist.Node) {
	state := Dead
	if n.State == memberlist.StateLeft {
		state = Left
	}
	(*directory)(e).heard(n, state)
}
