package leasequery

import (
	"fmt"
	"net/netip"
	"strings"
)

// named is a stanza that a certificate's name leads to, and its place among the stanzas.
type named struct {
	requestor *Requestor
	place     int
}

// addNames lets the names of a stanza lead to it. The error wraps ErrPolicy.
func (p *Policy) addNames(place int, r *Requestor) error {
	for _, name := range r.Names {
		folded := foldName(name)
		if folded == "" {
			return fmt.Errorf("%w: requestor %d (%q): empty name", ErrPolicy, place, r.Name)
		}
		if other, dup := p.names[folded]; dup {
			return fmt.Errorf("%w: requestor %d (%q): %q is requestor %q already", ErrPolicy, place, r.Name, name, other.requestor.Name)
		}
		if p.names == nil {
			p.names = make(map[string]named)
		}
		p.names[folded] = named{r, place}
	}
	return nil
}

// LookupNames is the stanza for the names in a verified certificate (RFC 7653 9.1): of the stanzas that have one of them, the one
// that stands first in the policy, whatever order the certificate has them in. DNS names are compared without regard to case,
// addresses by value, URIs and mail addresses octet for octet. ok is false when no stanza has any of them.
func (p *Policy) LookupNames(names []string) (r *Requestor, ok bool) {
	if p == nil {
		return nil, false
	}
	best := named{}
	for _, name := range names {
		if n, found := p.names[foldName(name)]; found && (best.requestor == nil || n.place < best.place) {
			best = n
		}
	}
	return best.requestor, best.requestor != nil
}

// foldName brings the spellings of one name together.
func foldName(name string) string {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Unmap().String()
	}
	if strings.ContainsAny(name, ":/@") {
		return name
	}
	return strings.TrimSuffix(strings.ToLower(name), ".")
}
