package config

import (
	"net/netip"
	"time"
)

// Config is a node's configuration. Durations are written as in "300s" or "1m30s".
type Config struct {
	Name    string `yaml:"name"`     // the node's name, unique in its cluster
	DataDir string `yaml:"data_dir"` // where identity, Raft log and snapshots live

	Cluster    Cluster     `yaml:"cluster"`
	Raft       Raft        `yaml:"raft"`
	Gossip     Endpoint    `yaml:"gossip"`
	GRPC       Endpoint    `yaml:"grpc"`
	HTTP       HTTP        `yaml:"http"`
	Leasequery Leasequery  `yaml:"leasequery"`
	Bulk       Bulk        `yaml:"bulk"`
	Read       Read        `yaml:"read"`
	Drain      Drain       `yaml:"drain"`
	Active     Active      `yaml:"active"`
	UDP        UDP         `yaml:"udp"`
	TLS        TLS         `yaml:"tls"`
	Requestors []Requestor `yaml:"requestors"`
	RelayData  RelayData   `yaml:"relay_data"`
	Sensitive  []uint16    `yaml:"sensitive_options"` // option codes never shown
	ServerDUID string      `yaml:"server_duid"`       // hex; read at bootstrap only
	Insecure   bool        `yaml:"insecure"`          // lets Raft, gRPC, gossip and HTTP listen beyond loopback without TLS
	Log        Log         `yaml:"log"`
}

// Cluster says which cluster the node belongs to and how it finds it.
type Cluster struct {
	Name            string        `yaml:"name"`             // label of the gossip; nodes of another name are not heard
	BootstrapExpect int           `yaml:"bootstrap_expect"` // how many nodes found the cluster together
	Join            []string      `yaml:"join"`             // gossip addresses of other nodes, host:port
	NonVoter        bool          `yaml:"non_voter"`        // answers relays but has no vote
	ClockMaxStep    time.Duration `yaml:"clock_max_step"`   // how far voters' wall clocks may differ for a new leader to believe them
}

// Raft is the node's part in consensus.
type Raft struct {
	Listen            string        `yaml:"listen"`    // host:port, TCP
	Advertise         string        `yaml:"advertise"` // what other nodes dial; empty: as listened on
	HeartbeatTimeout  time.Duration `yaml:"heartbeat_timeout"`
	ElectionTimeout   time.Duration `yaml:"election_timeout"`
	LeaderLease       time.Duration `yaml:"leader_lease"`
	SnapshotThreshold uint64        `yaml:"snapshot_threshold"` // log entries
	SnapshotBytes     int64         `yaml:"snapshot_bytes"`     // octets of log since the last snapshot
	TrailingLogs      uint64        `yaml:"trailing_logs"`      // log entries kept behind a snapshot
}

// Endpoint is an address to listen on and, where it differs, the one to tell others.
type Endpoint struct {
	Listen    string `yaml:"listen"`
	Advertise string `yaml:"advertise"`
}

// HTTP serves /livez, /readyz and /metrics.
type HTTP struct {
	Listen string `yaml:"listen"`
	Pprof  bool   `yaml:"pprof"` // whether profiles of the process are served below /debug/pprof/
}

// Leasequery is where relays ask.
type Leasequery struct {
	Listen netip.AddrPort `yaml:"listen"`
}

// Bulk bounds bulk leasequery over TCP (RFC 5460).
type Bulk struct {
	MaxConnections             int           `yaml:"max_connections"`               // BULK_LQ_MAX_CONNS
	MaxConnectionsPerRequestor int           `yaml:"max_connections_per_requestor"` // 0: as many as in all
	MaxQueriesPerConnection    int           `yaml:"max_queries_per_connection"`
	MaxQueriesPerRequestor     int           `yaml:"max_queries_per_requestor"`
	Rate                       float64       `yaml:"rate"`  // queries a second that one requestor may ask; 0: no limit
	Burst                      int           `yaml:"burst"` // how many at once before Rate counts; 0: two seconds' worth
	IdleTimeout                time.Duration `yaml:"idle_timeout"`
	DataTimeout                time.Duration `yaml:"data_timeout"` // BULK_LQ_DATA_TIMEOUT
	MaxViewAge                 time.Duration `yaml:"max_view_age"` // a slower answer is ended with QueryTerminated
}

// Read says how fresh an answer must be.
type Read struct {
	Hold         time.Duration `yaml:"hold"`          // how long a query waits while there is no leader
	MaxStaleness time.Duration `yaml:"max_staleness"` // then it is answered if the node was provably up to date this recently
}

// Drain is how a node stops.
type Drain struct {
	Delay   time.Duration `yaml:"delay"`   // between turning not ready and refusing connections: for addresses to move
	Timeout time.Duration `yaml:"timeout"` // how long running answers may go on after that
}

// Log is how the node logs.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// Default is the configuration of an empty file.
func Default() Config {
	return Config{
		Cluster: Cluster{Name: "leasehold", BootstrapExpect: 1, ClockMaxStep: time.Minute},
		Raft: Raft{
			Listen: "127.0.0.1:5471", HeartbeatTimeout: time.Second, ElectionTimeout: time.Second, LeaderLease: 600 * time.Millisecond,
			SnapshotThreshold: 32768, SnapshotBytes: 2 << 30, TrailingLogs: 16384,
		},
		Gossip:     Endpoint{Listen: "127.0.0.1:5472"},
		GRPC:       Endpoint{Listen: "127.0.0.1:5470"},
		HTTP:       HTTP{Listen: "127.0.0.1:5473"},
		Leasequery: Leasequery{Listen: netip.MustParseAddrPort("[::]:547")},
		Bulk: Bulk{
			MaxConnections: 10, MaxQueriesPerConnection: 16, MaxQueriesPerRequestor: 64,
			IdleTimeout: 300 * time.Second, DataTimeout: 300 * time.Second, MaxViewAge: 10 * time.Minute,
		},
		Read:  Read{Hold: 5 * time.Second, MaxStaleness: 10 * time.Second},
		Drain: Drain{Delay: 5 * time.Second, Timeout: 10 * time.Second},
		Active: Active{
			MaxSubscriptions: 100, IdleInterval: activeIdleTimeout, DataTimeout: activeSendTimeout, CatchUp: 600 * time.Second,
		},
		UDP:       UDP{Enabled: true, Rate: 1000, MaxHops: 32, Hold: time.Second, RawFragments: true},
		TLS:       TLS{Mode: TLSOff, HandshakeTimeout: 10 * time.Second, MaxStrangers: 16},
		RelayData: RelayData{Mode: OnRequest, Place: InClientData},
		Log:       Log{Level: "info", Format: "text"},
	}
}
