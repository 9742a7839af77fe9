package requestor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// QueryUDP asks the servers over UDP (RFC 5007 4.3.2), by address or by client-id, and calls each with every client of the first
// answer. A server that has not answered within LQ_TIMEOUT (Config.MinBackoff), or refuses, is followed by the next one; those
// before go on being asked, up to LQ_MAX_RC times (Config.Tries). A list of links (OPTION_LQ_CLIENT_LINK) is followed by a query
// for each link, at the server that gave it first. Without an answer the error is *AttemptsError, or wraps the context's, or
// ErrQuery.
func QueryUDP(ctx context.Context, servers []string, config Config, q Query, each func(*Client) error) error {
	config = config.withDefaults()
	config.Dial = nil // UDP has no connections
	if _, _, err := q.newDatagram(config.ClientID); err != nil {
		return err
	}
	given, err := newServers(servers, config)
	if err != nil {
		return err
	}
	var failed []Attempt
	var targets []*target
	for _, s := range given {
		if err := s.lookUp(ctx, config); err != nil {
			failed = append(failed, Attempt{Server: s.given, Err: err})
			config.Report(failed[len(failed)-1])
		}
		targets = append(targets, s.targets...)
	}
	if len(targets) == 0 {
		return &AttemptsError{Attempts: failed}
	}
	b := &broadcast{config: config, targets: targets, failed: failed}
	links, err := b.query(ctx, q, each)
	if err != nil {
		return err
	}
	if len(links) > 0 && q.LinkAddress.IsValid() && !q.LinkAddress.IsUnspecified() {
		return fmt.Errorf("%w: a list of links in the answer to a query for one link", ErrProtocol)
	}
	for _, link := range links {
		q.LinkAddress, b.failed = link, nil
		if _, err := b.query(ctx, q, each); err != nil {
			return fmt.Errorf("ask for the client on the link %v: %w", link, err)
		}
	}
	return nil
}

// broadcast asks servers over UDP.
type broadcast struct {
	config  Config
	targets []*target // in the order in which they are asked
	failed  []Attempt
}

// query asks until one server has answered, and hands over the client of its answer, or returns the links that it lists.
func (b *broadcast) query(ctx context.Context, q Query, each func(*Client) error) ([]netip.Addr, error) {
	message, id, err := q.newDatagram(b.config.ClientID)
	if err != nil {
		return nil, err
	}
	d, err := b.ask(ctx, message, id)
	if err != nil {
		return nil, err
	}
	// Whoever has answered is asked first from now on.
	i := slices.Index(b.targets, d.target)
	b.targets = slices.Concat([]*target{d.target}, b.targets[:i], b.targets[i+1:])
	m, err := dhcpv6.ParseMessage(d.reply)
	if err != nil {
		return nil, err
	}
	if v, ok := m.Options.First(dhcpv6.OptionLQClientLink); ok {
		list, err := dhcpv6.ParseLQClientLink(v)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		return slices.Collect(list.Addresses()), nil
	}
	var c Client
	found, err := c.parseMessage(m)
	if err == nil && found && !c.HasRelay { // some servers put it beside the client data (RFC 5007 4.1.2.4 does not say where)
		if v, ok := m.Options.First(dhcpv6.OptionLQRelayData); ok {
			err = c.relay(v)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if !found {
		return nil, nil
	}
	return nil, each(&c)
}

// ask puts a query to one server after the other until one has answered without an error.
func (b *broadcast) ask(ctx context.Context, message []byte, id dhcpv6.TransactionID) (*datagrams, error) {
	asking, stop := context.WithCancel(ctx)
	type end struct {
		d   *datagrams
		err error
	}
	ends, silent := make(chan end, len(b.targets)), make(chan struct{}, len(b.targets))
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	next, open := 0, 0
	begin := func() {
		if next == len(b.targets) {
			return
		}
		d := &datagrams{config: b.config, target: b.targets[next], query: message, id: id, silent: silent}
		next, open = next+1, open+1
		running.Go(func() { ends <- end{d, d.run(asking)} })
	}
	for begin(); open > 0; {
		select {
		case <-silent:
			begin()
		case e := <-ends:
			open--
			if e.err == nil {
				return e.d, nil
			}
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			b.failed = append(b.failed, Attempt{Server: e.d.target.name, Err: e.err})
			b.config.Report(b.failed[len(b.failed)-1])
			begin()
		}
	}
	return nil, &AttemptsError{Attempts: b.failed}
}
