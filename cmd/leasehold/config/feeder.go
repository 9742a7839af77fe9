package config

import (
	"fmt"
	"os"
	"time"
)

// Feeder is the configuration of an agent that feeds a cluster from DHCP servers.
type Feeder struct {
	Cluster  []string `yaml:"cluster"`  // gRPC addresses of nodes, host:port, tried in turn
	Instance string   `yaml:"instance"` // the agent's name among those that share a source; empty: the host's name
	HTTP     HTTP     `yaml:"http"`     // /livez, /readyz and /metrics; an empty listen: none
	Log      Log      `yaml:"log"`
	Sources  []Source `yaml:"sources"`
}

// Source is a DHCP server, or a pair that shares its leases under one name. Exactly one of its kinds is there.
type Source struct {
	Name     string    `yaml:"name"`
	Kea      *Kea      `yaml:"kea"`
	ISC      *ISC      `yaml:"isc_dhcp"`
	Dnsmasq  *Dnsmasq  `yaml:"dnsmasq"`
	Upstream *Upstream `yaml:"upstream"`
}

// Kea says how the leases of ISC Kea are come by: at least one of leases, control and push.
type Kea struct {
	Leases  string        `yaml:"leases"`  // the lease file, which is followed
	Config  string        `yaml:"config"`  // Kea's configuration file: its subnets become links where control does not tell them
	Control Control       `yaml:"control"` // Kea's command API
	Push    Push          `yaml:"push"`    // where Kea's HA hook sends what changes
	Resync  time.Duration `yaml:"resync"`  // how often everything is stated again; 0: the package's choice
	Page    int           `yaml:"page"`    // leases asked for at once; 0: the package's choice
}

// Control is where Kea's command API is.
type Control struct {
	URL          string    `yaml:"url"` // unix:/path, http://… or https://…; empty: none
	User         string    `yaml:"user"`
	PasswordFile string    `yaml:"password_file"`
	TLS          ClientTLS `yaml:"tls"`
}

// ClientTLS is how an https server is trusted, and what it is shown.
type ClientTLS struct {
	CA          string `yaml:"ca"` // PEM file; empty: what the system trusts
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	ServerName  string `yaml:"server_name"` // what the server's certificate must be for; empty: the host that is asked
}

// Push is the listener that is a backup peer to Kea's HA hook.
type Push struct {
	Listen       string    `yaml:"listen"` // host:port; empty: none
	User         string    `yaml:"user"`   // of basic authentication; empty: none is asked for
	PasswordFile string    `yaml:"password_file"`
	TLS          ServerTLS `yaml:"tls"`
	Early        bool      `yaml:"early"` // answer before the cluster has it
}

// ServerTLS is what peers of a listener are shown, and how they are known.
type ServerTLS struct {
	Certificate string `yaml:"certificate"` // PEM file; empty: in clear
	Key         string `yaml:"key"`
	ClientCA    string `yaml:"client_ca"` // PEM file: whose certificates peers must show; empty: none
}

// ISC says where ISC dhcpd keeps its leases.
type ISC struct {
	Leases string        `yaml:"leases"` // dhcpd6.leases, which is followed
	Config string        `yaml:"config"` // dhcpd6.conf: its subnets become links
	Resync time.Duration `yaml:"resync"`
}

// Dnsmasq says where dnsmasq keeps its leases.
type Dnsmasq struct {
	Leases string        `yaml:"leases"` // the lease file
	Socket string        `yaml:"socket"` // where `leasehold feed dnsmasq event` sends what dnsmasq's script is told; empty: the file alone
	State  string        `yaml:"state"`  // a file in which relay addresses outlive the agent; empty: none
	Links  []Link        `yaml:"links"`
	Resync time.Duration `yaml:"resync"`
}

// Link is a link of a source that does not tell its links.
type Link struct {
	Name     string   `yaml:"name"`
	Prefixes []string `yaml:"prefixes"`
	Relays   []string `yaml:"relays"` // link-addresses of relays beyond the prefixes
}

// Upstream is a server that is asked by leasequery.
type Upstream struct {
	Servers []string  `yaml:"servers"` // host:port, asked in turn
	TLS     ClientTLS `yaml:"tls"`     // STARTTLS where a certificate is given
	// Queries are what the server is asked, one after the other: of each link by an address in each of its prefixes.
	Links     []Link   `yaml:"links"`
	RelayIDs  []string `yaml:"relay_ids"`  // hex
	RemoteIDs []string `yaml:"remote_ids"` // ENTERPRISE:HEX
	ClientIDs []string `yaml:"client_ids"` // hex

	Active     bool          `yaml:"active"`     // subscribe (RFC 7653) between the full bulk leasequeries
	Everything bool          `yaml:"everything"` // with Active: subscribe once, to all that the server has
	Every      time.Duration `yaml:"every"`      // how often everything is asked for; 0: the package's choice
}

// DefaultResync is how often a source states everything again when nothing else asks for it.
const DefaultResync = time.Hour

// DefaultFeeder is the configuration of an empty file.
func DefaultFeeder() Feeder {
	return Feeder{Cluster: []string{"127.0.0.1:5470"}, HTTP: HTTP{Listen: "127.0.0.1:5474"}, Log: Log{Level: "info", Format: "text"}}
}

// LoadFeeder is Load for an agent's configuration file.
func LoadFeeder(file string, sets []string) (Feeder, []Problem, error) {
	data, err := read(file)
	if err != nil {
		return Feeder{}, nil, err
	}
	return ParseFeeder(file, data, sets)
}

// ParseFeeder is LoadFeeder for a file's content.
func ParseFeeder(file string, data []byte, sets []string) (Feeder, []Problem, error) {
	return parse(file, data, sets, DefaultFeeder(), (*checker).feeder)
}

// Check looks at a configuration that no file has, and makes its paths absolute. The error is an *Error.
func (f *Feeder) Check() (warnings []Problem, err error) {
	folder, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the folder that relative paths start from: %w", err)
	}
	c := checker{lines: map[string]int{}, folder: folder}
	if c.feeder(f); len(c.errors) > 0 {
		return nil, &Error{File: "command line", Problems: c.errors}
	}
	return c.warnings, nil
}
