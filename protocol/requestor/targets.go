package requestor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// target is one address of a server, and what is known of it.
type target struct {
	name    string // as errors say it: the server as given, with the address if that is not the same
	asked   string // the server as given, whose name a certificate must bear
	address string // to connect to
	running bool   // it is being asked
	refused bool   // it refused the query for what it is: asking again gets the same answer
}

func (t *target) askable() bool { return !t.running && !t.refused }

// server is a server as given, with the addresses that its name had when it was last looked up.
type server struct {
	given   string
	literal bool // an address, or nothing to look up
	targets []*target
}

// newServers is the servers as given. Each must be host:port.
func newServers(given []string, config Config) ([]*server, error) {
	if len(given) == 0 {
		return nil, fmt.Errorf("%w: no server to ask", ErrQuery)
	}
	var out []*server
	for _, g := range given {
		s := &server{given: g}
		if config.Dial == nil {
			host, _, err := net.SplitHostPort(g)
			if err != nil {
				return nil, fmt.Errorf("%w: server: %w", ErrQuery, err)
			}
			_, err = netip.ParseAddr(host)
			s.literal = err == nil || host == ""
		} else {
			s.literal = true
		}
		if s.literal {
			s.targets = []*target{{name: g, asked: g, address: g}}
		}
		out = append(out, s)
	}
	return out, nil
}

// askable tells whether it makes sense to ask the server once more.
func (s *server) askable() bool {
	for _, t := range s.targets {
		if t.askable() {
			return true
		}
	}
	return len(s.targets) == 0
}

// lookUp finds the server's addresses, in the order in which the system prefers them (RFC 6724). What is known of an address
// stays known.
func (s *server) lookUp(ctx context.Context, config Config) error {
	if s.literal {
		return nil
	}
	host, port, err := net.SplitHostPort(s.given)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, config.DialTimeout)
	defer cancel()
	addrs, err := config.Lookup(ctx, host)
	if err != nil {
		return fmt.Errorf("look up %q: %w", host, err)
	}
	known := map[string]*target{}
	for _, t := range s.targets {
		known[t.address] = t
	}
	s.targets = nil
	for _, a := range addrs {
		address := net.JoinHostPort(a.Unmap().String(), port)
		t := known[address]
		if t == nil {
			t = &target{name: s.given + " at " + address, asked: s.given, address: address}
		}
		s.targets = append(s.targets, t)
	}
	if len(s.targets) == 0 {
		return fmt.Errorf("look up %q: no addresses", host)
	}
	return nil
}
