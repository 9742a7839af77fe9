package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// How often everything is asked for, if nothing is said.
const (
	DefaultEvery       = 5 * time.Minute
	DefaultActiveEvery = time.Hour // beside subscriptions, which tell of every change
)

const (
	maxQueries       = math.MaxInt16 // numbers of which entries know one
	maxSubscriptions = 64            // each a connection to the server
)

// DefaultMaxBindings is how many bindings of the server are known at most, if nothing is said.
const DefaultMaxBindings = requestor.DefaultMaxBindings

// ErrConfig is wrapped by every error about a configuration that cannot work.
var ErrConfig = errors.New("upstream configuration")

// Config says who is asked, and what. The queries together are what the server has, as far as the source is concerned.
type Config struct {
	Servers []string // host:port, asked in turn; all are of one server, or of a cluster that shares its leases
	// Requestor says how servers are asked: ClientID, TLS and timeouts. Stream, Tolerant, Server and Report are the source's own; where
	// Rounds is 0 it is 1, and MinBackoff and MaxBackoff are also the pauses of the source after a failure.
	Requestor requestor.Config

	Links     []Link            // QUERY_BY_LINK_ADDRESS
	RelayIDs  [][]byte          // QUERY_BY_RELAY_ID: DUIDs of relays
	RemoteIDs []dhcpv6.RemoteID // QUERY_BY_REMOTE_ID
	ClientIDs [][]byte          // QUERY_BY_CLIENTID: DUIDs
	Addresses []netip.Addr      // QUERY_BY_ADDRESS
	// Options are client options to ask for and to pass on; nil is OPTION_CLIENT_FQDN, empty is none.
	Options []dhcpv6.OptionCode

	// Active subscribes (RFC 7653): once to each query, at most 64 of them. Where the server does not let it, everything is asked for.
	Active bool
	// Everything, with Active, subscribes once to all that the server has. It is for queries that together are all of it: a change that none
	// of them would find stands only until everything is asked for again.
	Everything bool
	// Every is how often everything is asked for, a tenth more or less; 0: DefaultEvery, or DefaultActiveEvery with Active.
	Every time.Duration
	// MaxBindings is how many bindings of the server are known at most; 0: DefaultMaxBindings.
	MaxBindings int
	// Own tells the DUID of the cluster that is fed: a server that answers with it is that cluster, and refused. Nil does not look.
	Own    func(context.Context) ([]byte, error)
	Logger *slog.Logger // nil: none
}

// Link is a link of the server.
type Link struct {
	Name     string         // label, and what its leases call it
	Prefixes []netip.Prefix // makes it a link of the cluster; may be empty where Ask is not
	Relays   []netip.Addr   // link-addresses of relays beyond the prefixes
	// Ask are the addresses that the server is asked by, each a query; empty: the first of each prefix, because some servers (Kea) know
	// the parts of a shared network only one by one.
	Ask []netip.Addr
}

// query is one of the queries.
type query struct {
	requestor.Query
	name string // for people
	link int    // number of the link that it asks about; noLink for none
}

const noLink = -1

// complete fills in what c leaves open, and checks it; the error wraps ErrConfig.
func (c Config) complete() (Config, []query, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Options == nil {
		c.Options = []dhcpv6.OptionCode{dhcpv6.OptionClientFQDN}
	}
	if c.MaxBindings == 0 {
		c.MaxBindings = DefaultMaxBindings
	}
	if c.Every == 0 {
		c.Every = DefaultEvery
		if c.Active {
			c.Every = DefaultActiveEvery
		}
	}
	if c.Requestor.Rounds == 0 {
		c.Requestor.Rounds = 1
	}
	queries, err := c.queries()
	if err != nil {
		return c, nil, err
	}
	switch {
	case len(c.Servers) == 0:
		return c, nil, fmt.Errorf("%w: no server to ask", ErrConfig)
	case len(queries) == 0:
		return c, nil, fmt.Errorf("%w: nothing to ask for", ErrConfig)
	case len(queries) > maxQueries:
		return c, nil, fmt.Errorf("%w: %d queries, want at most %d", ErrConfig, len(queries), maxQueries)
	case c.Every < 0 || c.MaxBindings < 0:
		return c, nil, fmt.Errorf("%w: every %v, %d bindings at most", ErrConfig, c.Every, c.MaxBindings)
	case c.Active && !c.Everything && len(queries) > maxSubscriptions:
		return c, nil, fmt.Errorf("%w: %d queries, want at most %d to subscribe to each: subscribe to everything", ErrConfig, len(queries), maxSubscriptions)
	}
	return c, queries, nil
}

// queries are the queries, those about links first, so that what they find has its link.
func (c *Config) queries() ([]query, error) {
	var out []query
	for i := range c.Links {
		l := &c.Links[i]
		ask := l.Ask
		if len(ask) == 0 {
			for _, p := range l.Prefixes {
				ask = append(ask, p.Addr())
			}
		}
		if len(ask) == 0 {
			return nil, fmt.Errorf("%w: link %q has neither prefixes nor an address to ask by", ErrConfig, l.Name)
		}
		if len(l.Prefixes) > 0 {
			if err := l.definition().Validate(); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrConfig, err)
			}
		}
		for _, a := range ask {
			out = append(out, query{requestor.Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: a}, fmt.Sprintf("link %s by %v", l.Name, a), i})
		}
	}
	for _, id := range c.RelayIDs {
		out = append(out, query{requestor.Query{Type: dhcpv6.QueryByRelayID, RelayID: id}, "relay-id " + binding.FormatDUID(id), noLink})
	}
	for _, id := range c.RemoteIDs {
		out = append(out, query{requestor.Query{Type: dhcpv6.QueryByRemoteID, RemoteID: id},
			fmt.Sprintf("remote-id %d:%x", id.Enterprise, id.ID), noLink})
	}
	for _, id := range c.ClientIDs {
		out = append(out, query{requestor.Query{Type: dhcpv6.QueryByClientID, ClientID: id}, "client-id " + binding.FormatDUID(id), noLink})
	}
	for _, a := range c.Addresses {
		out = append(out, query{requestor.Query{Type: dhcpv6.QueryByAddress, Address: a}, "address " + a.String(), noLink})
	}
	for i := range out {
		out[i].RelayData, out[i].BaseTime, out[i].Options = true, true, c.Options
	}
	return out, nil
}

// polling is how often everything is asked for where there are no subscriptions.
func (c *Config) polling() time.Duration {
	if c.Active {
		return min(c.Every, DefaultEvery)
	}
	return c.Every
}

// definition is the link as the cluster is told of it.
func (l *Link) definition() *binding.Link {
	return &binding.Link{Label: l.Name, Names: []string{l.Name}, Prefixes: l.Prefixes, Relays: l.Relays}
}
