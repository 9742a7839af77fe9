package starttls

import (
	"crypto/x509"
	"net/netip"
	"strings"
)

// Names is what a certificate says its holder is called: the DNS names, URIs, IP addresses and mail addresses of its subject
// alternative name (RFC 9525 2), in this order. DNS names are in lower case, addresses in their shortest form. A name that could be
// taken for one of another kind is left out, so that the kinds need not be told apart.
func Names(c *x509.Certificate) []string {
	var names []string
	add := func(name string, kind NameKind) {
		if KindOf(name) == kind {
			names = append(names, name)
		}
	}
	for _, n := range c.DNSNames {
		add(strings.ToLower(strings.TrimSuffix(n, ".")), DNSName)
	}
	for _, u := range c.URIs {
		if u.Scheme != "" {
			add(u.String(), URIName)
		}
	}
	for _, ip := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			add(a.Unmap().String(), AddressName)
		}
	}
	for _, m := range c.EmailAddresses {
		add(m, MailName)
	}
	return names
}

// NameKind is what a name in a certificate is.
type NameKind uint8

// The kinds of names, as they are written.
const (
	NoName      NameKind = iota // nothing that a subject alternative name may hold
	DNSName                     // bng-1.example.net
	URIName                     // spiffe://example.net/bng-1
	AddressName                 // 2001:db8::1
	MailName                    // noc@example.net
)

// KindOf tells what kind of name a string is written as.
func KindOf(name string) NameKind {
	if a, err := netip.ParseAddr(name); err == nil {
		if a.Zone() != "" {
			return NoName
		}
		return AddressName
	}
	switch {
	case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
		return NoName
	case strings.ContainsAny(name, ":/"):
		if scheme, _, ok := strings.Cut(name, ":"); ok && scheme != "" && !strings.ContainsAny(scheme, "/@") {
			return URIName
		}
		return NoName
	case strings.Contains(name, "@"):
		return MailName
	}
	return DNSName
}
