package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/fsm/binding"
)

// openSource makes the source of a stanza and opens what it listens on.
func openSource(c config.Source, cluster []string, log *slog.Logger) (feederSource, error) {
	switch {
	case c.Kea != nil:
		return openKea(c.Name, c.Kea, log)
	case c.ISC != nil:
		return openISC(c.Name, c.ISC, log)
	case c.Dnsmasq != nil:
		return openDnsmasq(c.Name, c.Dnsmasq, log)
	case c.Upstream != nil:
		return openUpstream(c.Name, c.Upstream, cluster, log)
	}
	return feederSource{}, errors.New("no kind of source") // the configuration was checked
}

// sourceLinks are the links of a stanza, whose leases name them.
func sourceLinks(links []config.Link) (out []binding.Link, err error) {
	for _, l := range links {
		link := binding.Link{Label: l.Name, Names: []string{l.Name}}
		for _, s := range l.Prefixes {
			p, err := netip.ParsePrefix(s)
			if err != nil {
				return nil, fmt.Errorf("link %s: %w", l.Name, err)
			}
			link.Prefixes = append(link.Prefixes, p)
		}
		for _, s := range l.Relays {
			a, err := parseAddress(s)
			if err != nil {
				return nil, fmt.Errorf("link %s: %w", l.Name, err)
			}
			link.Relays = append(link.Relays, a)
		}
		out = append(out, link)
	}
	return out, nil
}

// orElseResync is how often a source states everything again.
func orElseResync(d time.Duration) time.Duration {
	if d == 0 {
		return config.DefaultResync
	}
	return d
}
