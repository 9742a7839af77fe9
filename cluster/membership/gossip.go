package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Config says how a node gossips.
type Config struct {
	Cluster        string        // label: nodes of another are not heard
	Bind           string        // IP address:port, TCP and UDP; port 0: any
	Advertise      string        // host:port that others use; empty: as bound
	Join           []string      // host:port of other nodes' gossip
	PeersFile      string        // where the last-known peers are kept; empty: nowhere
	RejoinInterval time.Duration // how often peers that are not alive are looked for; 0: 10 s
	ProbeInterval  time.Duration // how often a peer is probed; 0: 1 s
	SecretKey      []byte        // 16, 24 or 32 octets encrypt the gossip; nil: clear
	Logger         *slog.Logger
}

const (
	rejoinInterval = 10 * time.Second
	lonelyInterval = time.Second // between attempts while nobody else is alive
	tcpTimeout     = time.Second
	reclaimTime    = 30 * time.Second // then a dead node's name may come from another address
	updateTimeout  = time.Second
)

// Gossip is a node's part in the gossip. Its methods may be called from any goroutine.
type Gossip struct {
	cfg       Config
	directory *directory
	update    chan struct{}

	mu      sync.Mutex
	meta    []byte
	self    Peer
	settled bool
	addr    string
}

// New makes a node's part in the gossip and reads the last-known peers. A peers file that cannot be read is reported in the
// log and ignored. It starts nothing; Run does.
func New(cfg Config) (*Gossip, error) {
	if cfg.Logger == nil {
		return nil, errors.New("gossip needs a logger")
	}
	host, _, err := net.SplitHostPort(cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("gossip address %q: %w", cfg.Bind, err)
	}
	if net.ParseIP(host) == nil {
		return nil, fmt.Errorf("gossip address %q: %q is not an IP address", cfg.Bind, host)
	}
	if cfg.RejoinInterval <= 0 {
		cfg.RejoinInterval = rejoinInterval
	}
	g := &Gossip{cfg: cfg, update: make(chan struct{}, 1), settled: len(cfg.Join) == 0}
	g.directory = newDirectory(cfg.PeersFile, cfg.Logger)
	return g, nil
}

// Announce sets what is told of this node. It is an error when that does not fit into gossip. The id may not change.
func (g *Gossip) Announce(self Peer) error {
	meta, err := self.meta()
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.self, g.meta = self, meta
	g.mu.Unlock()
	select {
	case g.update <- struct{}{}:
	default:
	}
	return nil
}

// Peers is every other node that is known, by id.
func (g *Gossip) Peers() []Peer { return g.directory.peers() }

// Learn adds what was learned elsewhere of nodes that gossip does not hear.
func (g *Gossip) Learn(peers ...Peer) { g.directory.learn(peers) }

// Settled tells whether the others have been looked for once, whatever came of it.
func (g *Gossip) Settled() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.settled
}

// Addr is the address that others reach this node's gossip at; empty before Run has begun.
func (g *Gossip) Addr() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.addr
}

// Run takes part in the gossip until ctx ends. Announce comes first. A stop is no goodbye: the node stays a member.
func (g *Gossip) Run(ctx context.Context) (err error) {
	conf, err := g.listConfig(ctx)
	if err != nil {
		return err
	}
	list, err := memberlist.Create(conf)
	if err != nil {
		return fmt.Errorf("start gossip on %s: %w", g.cfg.Bind, err)
	}
	local := list.LocalNode()
	g.mu.Lock()
	g.addr = local.Address()
	g.mu.Unlock()
	g.directory.setSelf(local.Name, local.Address())
	var looking sync.WaitGroup
	looking.Go(func() { g.rejoin(ctx, list) })
	defer func() {
		looking.Wait()
		if serr := list.Shutdown(); serr != nil {
			err = errors.Join(err, fmt.Errorf("stop gossip: %w", serr))
		}
		err = errors.Join(err, g.directory.save())
	}()
	for {
		select {
		case <-g.update:
			if err := list.UpdateNode(updateTimeout); err != nil {
				g.cfg.Logger.Debug("gossip of this node's news is slow", "error", err)
			}
		case <-g.directory.dirty:
			if err := g.directory.save(); err != nil {
				g.cfg.Logger.Warn("known peers are not kept", "error", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (g *Gossip) listConfig(ctx context.Context) (*memberlist.Config, error) {
	g.mu.Lock()
	id := g.self.ID
	g.mu.Unlock()
	if id == "" {
		return nil, errors.New("gossip runs before the node was announced")
	}
	g.directory.setSelf(id, "") // memberlist tells of this node too
	conf := memberlist.DefaultLANConfig()
	conf.Name, conf.Label = id, g.cfg.Cluster
	conf.Delegate, conf.Events, conf.Conflict = (*delegate)(g), (*events)(g.directory), (*conflicts)(g)
	conf.Logger = stdLogger(g.cfg.Logger)
	conf.EnableCompression = false
	conf.SecretKey = g.cfg.SecretKey
	conf.TCPTimeout, conf.DeadNodeReclaimTime = tcpTimeout, reclaimTime
	conf.MsgpackUseNewTimeFormat = true
	if g.cfg.ProbeInterval > 0 {
		conf.ProbeInterval, conf.ProbeTimeout = g.cfg.ProbeInterval, g.cfg.ProbeInterval/2
	}
	var err error
	if conf.BindAddr, conf.BindPort, err = splitHostPort(g.cfg.Bind); err != nil {
		return nil, fmt.Errorf("gossip address: %w", err)
	}
	conf.AdvertisePort = conf.BindPort
	if g.cfg.Advertise == "" {
		return conf, nil
	}
	host, port, err := splitHostPort(g.cfg.Advertise)
	if err != nil {
		return nil, fmt.Errorf("advertised gossip address: %w", err)
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("advertised gossip address: %w", err)
	}
	conf.AdvertiseAddr, conf.AdvertisePort = ips[0], port
	return conf, nil
}

func splitHostPort(s string) (string, int, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port of %q: %w", s, err)
	}
	return host, int(n), nil
}

// rejoin looks for the seeds and for every known peer that is not alive, again and again.
func (g *Gossip) rejoin(ctx context.Context, list *memberlist.Memberlist) {
	for {
		for _, addr := range g.directory.missing(g.cfg.Join) {
			if ctx.Err() != nil {
				return
			}
			if _, err := list.Join([]string{addr}); err != nil {
				g.cfg.Logger.Debug("peer does not gossip", "address", addr, "error", err)
			}
		}
		g.mu.Lock()
		g.settled = true
		g.mu.Unlock()
		wait := g.cfg.RejoinInterval
		if list.NumMembers() < 2 {
			wait = min(wait, lonelyInterval)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}
