package leasequery

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// RelayDataMode says when OPTION_LQ_RELAY_DATA is sent (RFC 5007 4.1.2.4).
type RelayDataMode uint8

// The relay data modes.
const (
	RelayDataDefault   RelayDataMode = iota // as the engine's configuration says
	RelayDataOnRequest                      // when the query's option request option names it
	RelayDataAlways                         // with every client that came through a relay
)

// RelayDataPlace says where in a LEASEQUERY-REPLY over UDP OPTION_LQ_RELAY_DATA stands: RFC 5007 4.1.2.4 can be read both ways. Over
// TCP, where a message may tell of any client, it is always within OPTION_CLIENT_DATA.
type RelayDataPlace uint8

// The places of relay data.
const (
	RelayDataPlaceDefault RelayDataPlace = iota // as the engine's configuration says
	RelayDataInClientData                       // within OPTION_CLIENT_DATA
	RelayDataInMessage                          // beside it
)

// Requestor is what one stanza of the policy allows.
type Requestor struct {
	Name       string
	Prefixes   []netip.Prefix      // whom the stanza is about, by source address
	Names      []string            // and by a name in the certificate that it shows over TLS
	QueryTypes []dhcpv6.QueryType  // what it may ask; none means everything
	Restricted *Restriction        // nil sees everything
	Sensitive  []dhcpv6.OptionCode // never shown to it, besides the engine's
	RelayData  RelayDataMode
	Relayed    bool // whether its relayed queries over UDP are answered

	RelayDataPlace  RelayDataPlace
	NoActive        bool                // whether its subscriptions (RFC 7653) are refused
	ActiveSensitive []dhcpv6.OptionCode // never shown to it in a subscription, besides the engine's and Sensitive

	MaxConnections          int // at once over TCP; 0 is the server's default
	MaxQueriesPerConnection int // at once; 0 is the server's default
	MaxQueries              int // at once, over all connections; 0 is the server's default
	MaxSubscriptions        int // at once, over all connections; 0 is the server's default

	Rate  float64 // queries a second, over TCP and over UDP each; 0 is the server's default
	Burst int     // how many of them may come at once; 0 is the server's default, or two seconds' worth of Rate: see Limit
}

// allows tells whether the requestor may ask this type of query.
func (r *Requestor) allows(q dhcpv6.QueryType) bool {
	return r == nil || len(r.QueryTypes) == 0 || slices.Contains(r.QueryTypes, q)
}

// ErrPolicy is wrapped by every error about a policy that makes no sense.
var ErrPolicy = errors.New("requestor policy")

// Policy finds the stanza of a requestor. The zero Policy knows nobody. It never changes, and any number of goroutines may use it.
type Policy struct {
	table *bart.Table[*Requestor]
	names map[string]named
}

// NewPolicy makes a policy of its stanzas. The error wraps ErrPolicy and names the stanza.
func NewPolicy(requestors []Requestor) (*Policy, error) {
	p := &Policy{table: &bart.Table[*Requestor]{}}
	for i := range requestors {
		r := requestors[i]
		for _, prefix := range r.Prefixes {
			if !prefix.IsValid() {
				return nil, fmt.Errorf("%w: requestor %d (%q): bad prefix", ErrPolicy, i, r.Name)
			}
			if other, dup := p.table.Get(prefix.Masked()); dup {
				return nil, fmt.Errorf("%w: requestor %d (%q): %v is requestor %q already", ErrPolicy, i, r.Name, prefix, other.Name)
			}
			p.table.Insert(prefix.Masked(), &r)
		}
		if err := p.addNames(i, &r); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Lookup is the stanza for a source address: that of the longest prefix that holds it. ok is false for a stranger.
func (p *Policy) Lookup(a netip.Addr) (r *Requestor, ok bool) {
	if p == nil || p.table == nil {
		return nil, false
	}
	return p.table.Lookup(a.Unmap())
}

// Limit is how many queries a second the requestor may send, and how many of them may come at once: rate and burst, which are a
// server's, unless its stanza says otherwise. A burst in the stanza goes with whichever rate counts; with a rate in the stanza the
// server's burst counts for nothing.
func (r *Requestor) Limit(rate float64, burst int) (float64, int) {
	switch {
	case r.Rate > 0:
		return r.Rate, r.Burst
	case r.Burst > 0:
		return rate, r.Burst
	}
	return rate, burst
}

// place is where relay data stands over UDP, in general or for the requestor.
func (r *Requestor) place(general RelayDataPlace) RelayDataPlace {
	if r != nil && r.RelayDataPlace != RelayDataPlaceDefault {
		return r.RelayDataPlace
	}
	return general
}
