package upstream

import (
	"net/netip"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// defined are the changes that define the configured links.
func (c *Config) defined() []*ingestv1.Change {
	var out []*ingestv1.Change
	for i := range c.Links {
		l := &c.Links[i]
		if len(l.Prefixes) == 0 {
			continue
		}
		d := &ingestv1.Link{Label: l.Name, Names: []string{l.Name}}
		for _, p := range l.Prefixes {
			d.Prefixes = append(d.Prefixes, p.String())
		}
		for _, a := range l.Relays {
			d.Relays = append(d.Relays, a.String())
		}
		out = append(out, &ingestv1.Change{Change: &ingestv1.Change_DefineLink{DefineLink: d}})
	}
	return out
}

// linkName is what leases on a link call it; empty for none, and for one that the cluster is not told of.
func (c *Config) linkName(link int16) string {
	if link == noLink || len(c.Links[link].Prefixes) == 0 {
		return ""
	}
	return c.Links[link].Name
}

// link finds out on which link the client of t.news is: on the one that was asked about; else where it is known to be; else the configured
// one that holds its address, or, without any, the link-address nearest to it.
func (t *teller) link(m *message) {
	s := t.source
	if m.on = int16(m.link); m.on != noLink {
		return
	}
	for i := range t.news {
		if n := &t.news[i]; n.mine && n.old.link != noLink {
			m.on = n.old.link
			return
		}
	}
	for _, a := range m.Addresses {
		if m.on = s.config.linkWith(a.Address); m.on != noLink {
			return
		}
	}
	for i := len(m.Relay.Levels) - 1; m.HasRelay && i >= 0; i-- {
		a := m.Relay.Levels[i].Link
		if a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsLoopback() {
			continue // no address of a link (RFC 8415 13.1)
		}
		m.on = s.config.linkWith(a)
		return
	}
}

// linkWith is the configured link with the longest prefix that holds an address, or with it as its relay's.
func (c *Config) linkWith(a netip.Addr) int16 {
	link, bits := int16(noLink), -1
	for i := range c.Links {
		for _, p := range c.Links[i].Prefixes {
			if p.Contains(a) && p.Bits() > bits {
				link, bits = int16(i), p.Bits()
			}
		}
		for _, r := range c.Links[i].Relays {
			if r == a && bits < 0 {
				link = int16(i)
			}
		}
	}
	return link
}
