package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// Requestor is a stanza of the requestor policy: who may ask, and what.
type Requestor struct {
	Name       string         `yaml:"name"`
	Prefixes   []netip.Prefix `yaml:"prefixes"`
	Names      []string       `yaml:"names"`       // DNS names, URIs, addresses or mail addresses in the certificate that it shows over TLS
	QueryTypes []string       `yaml:"query_types"` // address, client-id, relay-id, link-address, remote-id; empty: all
	Restricted *Restricted    `yaml:"restricted"`  // absent: sees everything
	Sensitive  []uint16       `yaml:"sensitive_options"`
	RelayData  RelayData      `yaml:"relay_data"` // empty: as for all
	Relayed    string         `yaml:"relayed"`    // allow or refuse: relayed queries over UDP
	Active     string         `yaml:"active"`     // allow or refuse: subscriptions

	ActiveSensitive         []uint16 `yaml:"active_sensitive_options"`
	Rate                    float64  `yaml:"rate"`
	Burst                   int      `yaml:"burst"`
	MaxConnections          int      `yaml:"max_connections"`
	MaxQueriesPerConnection int      `yaml:"max_queries_per_connection"`
	MaxQueries              int      `yaml:"max_queries"`
	MaxSubscriptions        int      `yaml:"max_subscriptions"`
}

// Restricted names what a requestor relays; it sees nothing else. An empty stanza means: what came through the address it asks from.
type Restricted struct {
	Links     []netip.Prefix `yaml:"links"`     // prefixes that hold the link
	RelayIDs  []string       `yaml:"relay_ids"` // hex
	Addresses []netip.Addr   `yaml:"addresses"` // a relay's link-address, or the peer-address of the level above
}

// stanzas is what the check of one stanza knows of the others.
type stanzas struct {
	tls      TLSMode
	prefixes map[netip.Prefix]string // the key of the stanza that has it
	names    map[string]string
}

func (c *checker) requestor(key string, r *Requestor, seen *stanzas) {
	if len(r.Prefixes) == 0 && len(r.Names) == 0 {
		c.errorf(key+".prefixes", "is empty: name the prefixes that the requestor asks from, or the names in its certificate (names)")
	}
	for i, p := range r.Prefixes {
		c.prefix(fmt.Sprintf("%s.prefixes[%d]", key, i), key, p, seen)
	}
	for i, n := range r.Names {
		c.certificateName(fmt.Sprintf("%s.names[%d]", key, i), key, n, seen)
	}
	c.reachable(key, r, seen.tls)
	for i, t := range r.QueryTypes {
		if _, ok := queryTypes()[t]; !ok {
			c.errorf(fmt.Sprintf("%s.query_types[%d]", key, i), "%q, want address, client-id, relay-id, link-address or remote-id", t)
		}
	}
	c.relayData(key+".relay_data", r.RelayData, true)
	for _, s := range [][2]string{{"relayed", r.Relayed}, {"active", r.Active}} {
		if s[1] != "" && s[1] != Allow && s[1] != Refuse {
			c.errorf(key+"."+s[0], "%q, want %s or %s", s[1], Allow, Refuse)
		}
	}
	c.rate(key, r.Rate, r.Burst)
	if r.MaxConnections < 0 || r.MaxQueries < 0 || r.MaxQueriesPerConnection < 0 || r.MaxSubscriptions < 0 {
		c.errorf(key, "limits must be 0 (as for all) or more")
	}
	c.restricted(key+".restricted", r)
}

// What a stanza says of relayed queries and of subscriptions.
const (
	Allow  = "allow"
	Refuse = "refuse"
)

func (c *checker) prefix(key, stanza string, p netip.Prefix, seen *stanzas) {
	if p.Masked() != p {
		c.errorf(key, "%v has bits behind its length: did you mean %v?", p, p.Masked())
	}
	if other, dup := seen.prefixes[p]; dup {
		c.errorf(key, "%v stands in %s already", p, other)
	}
	seen.prefixes[p] = stanza
}

// certificateName checks a name that a certificate may bear. DNS names are the same without regard to case.
func (c *checker) certificateName(key, stanza, name string, seen *stanzas) {
	switch {
	case name == "":
		c.errorf(key, "is empty")
	case strings.ContainsAny(name, " \t\r\n"):
		c.errorf(key, "%q holds blanks: want a DNS name, a URI or an address as it stands in the certificate", name)
	}
	same := name
	if !strings.ContainsAny(name, ":@") {
		same = strings.ToLower(name)
	} else if a, err := netip.ParseAddr(name); err == nil {
		same = a.String()
	}
	if other, dup := seen.names[same]; dup {
		c.errorf(key, "%q stands in %s already", name, other)
	}
	seen.names[same] = stanza
}

// reachable warns of a stanza, or a part of one, that can never count.
func (c *checker) reachable(key string, r *Requestor, mode TLSMode) {
	if len(r.Names) == 0 {
		return
	}
	onlyNames := len(r.Prefixes) == 0
	switch {
	case mode == TLSOff && onlyNames:
		c.warnf(key+".names", "this requestor can never ask: tls.mode is off, so nobody shows a certificate, and it has no prefixes")
	case mode == TLSOff:
		c.warnf(key+".names", "count for nothing: tls.mode is off, so nobody shows a certificate")
	case onlyNames && r.Relayed == Allow:
		c.warnf(key+".relayed", "counts for nothing: over UDP nobody shows a certificate, and there are no prefixes")
	}
}

// restricted checks the relay-ids that a stanza names.
func (c *checker) restricted(key string, r *Requestor) {
	x := r.Restricted
	if x == nil {
		return
	}
	for i, id := range x.RelayIDs {
		if b, err := parseHex(id); err != nil || len(b) == 0 || len(b) > 130 {
			c.errorf(fmt.Sprintf("%s.relay_ids[%d]", key, i), "%q, want 1 to 130 octets in hex", id)
		}
	}
}
