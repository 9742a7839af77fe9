package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// checker collects what is wrong with a configuration, by key, with the lines that the keys stand on.
type checker struct {
	lines    map[string]int
	folder   string // that relative paths start from: the configuration file's
	errors   []Problem
	warnings []Problem
}

// index notes the line of each key below n.
func (c *checker) index(path string, n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if path != "" {
				key = path + "." + key
			}
			c.lines[key] = n.Content[i].Line
			c.index(key, n.Content[i+1])
		}
	case yaml.SequenceNode:
		for i, e := range n.Content {
			key := fmt.Sprintf("%s[%d]", path, i)
			c.lines[key] = e.Line
			c.index(key, e)
		}
	}
}

func (c *checker) line(key string) int {
	for {
		if l, ok := c.lines[key]; ok {
			return l
		}
		cut := strings.LastIndexAny(key, ".[")
		if cut < 0 {
			return 0
		}
		key = key[:cut]
	}
}

func (c *checker) errorf(key, format string, args ...any) {
	c.errors = append(c.errors, Problem{Line: c.line(key), Key: key, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) warnf(key, format string, args ...any) {
	c.warnings = append(c.warnings, Problem{Line: c.line(key), Key: key, Text: fmt.Sprintf(format, args...)})
}

// check looks at every value that has a bound.
func (c *checker) check(cfg *Config) {
	if cfg.Name == "" {
		c.errorf("name", "a node needs a name, unique in its cluster")
	}
	if cfg.DataDir == "" {
		c.errorf("data_dir", "a node needs a folder of its own for identity, Raft log and snapshots")
	}
	c.cluster(cfg)
	c.listeners(cfg)
	c.bulk(&cfg.Bulk)
	c.times(cfg)
	c.active(cfg)
	c.udp(cfg)
	c.tls(cfg)
	c.policy(cfg)
	c.log(cfg.Log)
}

func (c *checker) cluster(cfg *Config) {
	if cfg.Cluster.Name == "" {
		c.errorf("cluster.name", "is empty")
	}
	if n := cfg.Cluster.BootstrapExpect; n < 0 || n > 9 {
		c.errorf("cluster.bootstrap_expect", "%d, want 0 (only ever join) to 9", n)
	} else if n > 0 && n%2 == 0 {
		c.warnf("cluster.bootstrap_expect", "%d voters tolerate no more failures than %d", n, n-1)
	}
	if cfg.Cluster.BootstrapExpect != 1 && len(cfg.Cluster.Join) == 0 {
		c.errorf("cluster.join", "is empty: a node of a cluster needs the gossip address of at least one other")
	}
	for i, j := range cfg.Cluster.Join {
		c.hostPort(fmt.Sprintf("cluster.join[%d]", i), j)
	}
	r := cfg.Raft
	if r.LeaderLease > r.HeartbeatTimeout || r.HeartbeatTimeout > r.ElectionTimeout || r.LeaderLease < 5*time.Millisecond {
		c.errorf("raft.heartbeat_timeout", "want 5ms <= leader_lease (%v) <= heartbeat_timeout (%v) <= election_timeout (%v)",
			r.LeaderLease, r.HeartbeatTimeout, r.ElectionTimeout)
	}
	if r.SnapshotThreshold == 0 || r.SnapshotBytes <= 0 {
		c.errorf("raft.snapshot_threshold", "snapshot_threshold and snapshot_bytes must be above 0")
	}
}

// listeners checks the addresses, and that nothing listens beyond loopback in clear unless that is wanted.
func (c *checker) listeners(cfg *Config) {
	for _, e := range []struct{ key, listen, advertise string }{
		{"raft", cfg.Raft.Listen, cfg.Raft.Advertise},
		{"gossip", cfg.Gossip.Listen, cfg.Gossip.Advertise},
		{"grpc", cfg.GRPC.Listen, cfg.GRPC.Advertise},
		{"http", cfg.HTTP.Listen, ""},
	} {
		host, ok := c.hostPort(e.key+".listen", e.listen)
		if e.advertise != "" {
			c.hostPort(e.key+".advertise", e.advertise)
		}
		addr, err := netip.ParseAddr(host)
		switch {
		case !ok:
		case err != nil:
			c.errorf(e.key+".listen", "%q is not an IP address", host)
		case addr.IsUnspecified() && e.advertise == "" && e.key != "http":
			c.errorf(e.key+".listen", "%s needs %s.advertise: the address that other nodes dial", e.listen, e.key)
		case !addr.IsLoopback() && !cfg.Insecure:
			c.errorf(e.key+".listen", "%s is beyond loopback, where traffic would be neither encrypted nor authenticated: "+
				"listen on loopback, or set insecure: true if the network between the nodes is trusted", e.listen)
		}
	}
	if !cfg.Leasequery.Listen.IsValid() {
		c.errorf("leasequery.listen", "want address:port")
	}
}

func (c *checker) hostPort(key, s string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		c.errorf(key, "%q: want host:port", s)
		return "", false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		c.errorf(key, "%q: port %q is not a number up to 65535", s, port)
		return "", false
	} else if n == 0 && strings.HasPrefix(key, "cluster.join") {
		c.errorf(key, "%q: port 0", s)
		return "", false
	}
	return host, true
}

func (c *checker) bulk(b *Bulk) {
	for _, l := range []struct {
		key string
		n   int
	}{
		{"bulk.max_connections", b.MaxConnections},
		{"bulk.max_queries_per_connection", b.MaxQueriesPerConnection},
		{"bulk.max_queries_per_requestor", b.MaxQueriesPerRequestor},
	} {
		if l.n < 1 || l.n > 1_000_000 {
			c.errorf(l.key, "%d, want 1 to 1000000", l.n)
		}
	}
	if n := b.MaxConnectionsPerRequestor; n < 0 || n > 1_000_000 {
		c.errorf("bulk.max_connections_per_requestor", "%d, want 0 (as many as in all) to 1000000", n)
	}
	c.rate("bulk", b.Rate, b.Burst)
	c.burstAlone("bulk", b.Rate, b.Burst)
	c.rfcTimeout("bulk.idle_timeout", b.IdleTimeout)
	c.rfcTimeout("bulk.data_timeout", b.DataTimeout)
	if b.MaxViewAge < time.Second {
		c.errorf("bulk.max_view_age", "%v, want at least 1s", b.MaxViewAge)
	}
}

// rfcTimeout refuses no time at all and warns below 300 s, which RFC 5460 5.6 does not recommend.
func (c *checker) rfcTimeout(key string, d time.Duration) {
	switch {
	case d <= 0:
		c.errorf(key, "%v, want more than 0", d)
	case d < 300*time.Second:
		c.warnf(key, "%v is under the 300 s of RFC 5460 5.6, which relays count on", d)
	}
}

func (c *checker) times(cfg *Config) {
	for _, d := range []struct {
		key string
		d   time.Duration
		min time.Duration
	}{
		{"read.hold", cfg.Read.Hold, 0},
		{"read.max_staleness", cfg.Read.MaxStaleness, 0},
		{"drain.delay", cfg.Drain.Delay, 0},
		{"drain.timeout", cfg.Drain.Timeout, 0},
		{"active.catch_up", cfg.Active.CatchUp, time.Second},
		{"cluster.clock_max_step", cfg.Cluster.ClockMaxStep, time.Second},
	} {
		if d.d < d.min || d.d > 24*time.Hour {
			c.errorf(d.key, "%v, want %v to 24h", d.d, d.min)
		}
	}
	if cfg.Read.MaxStaleness < 2*(cfg.Raft.HeartbeatTimeout+cfg.Raft.ElectionTimeout) {
		c.warnf("read.max_staleness", "%v is less than an election may take: queries will be refused during each", cfg.Read.MaxStaleness)
	}
}
