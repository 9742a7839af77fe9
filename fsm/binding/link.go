package binding

import (
	"fmt"
	"net/netip"
)

// Limits on one link's definition.
const (
	MaxLinkPrefixes = 1024
	MaxLinkRelays   = 1024
	MaxLinkNames    = 1024
)

// Link is what a source's configuration says of one link (Kea: a subnet, or a whole shared network). The set of its prefixes
// is its identity: sources that define the same set share one link.
type Link struct {
	Label    string         // what the source calls it, unique in that source; what operators see
	Names    []string       // the names by which the source's bindings refer to it (Kea: subnet ids)
	Prefixes []netip.Prefix // at least one, without host bits
	Relays   []netip.Addr   // addresses that relays on this link use as link-address
}

// Validate tells why l may not be stored: an error that wraps ErrInvalid and names the field, or nil.
func (l *Link) Validate() error {
	switch {
	case l.Label == "" || len(l.Label) > MaxLinkName:
		return fmt.Errorf("%w: link label of %d octets, want 1 to %d", ErrInvalid, len(l.Label), MaxLinkName)
	case len(l.Prefixes) == 0 || len(l.Prefixes) > MaxLinkPrefixes:
		return fmt.Errorf("%w: link %q has %d prefixes, want 1 to %d", ErrInvalid, l.Label, len(l.Prefixes), MaxLinkPrefixes)
	case len(l.Relays) > MaxLinkRelays:
		return fmt.Errorf("%w: link %q has %d relay addresses, want at most %d", ErrInvalid, l.Label, len(l.Relays), MaxLinkRelays)
	case len(l.Names) > MaxLinkNames:
		return fmt.Errorf("%w: link %q has %d names, want at most %d", ErrInvalid, l.Label, len(l.Names), MaxLinkNames)
	}
	for _, p := range l.Prefixes {
		if err := validateKey(PD, p); err != nil {
			return fmt.Errorf("link %q: %w", l.Label, err)
		}
	}
	for _, a := range l.Relays {
		if !isGlobal(a) {
			return fmt.Errorf("%w: link %q: relay address %v is not a global IPv6 address", ErrInvalid, l.Label, a)
		}
	}
	for _, n := range l.Names {
		if n == "" || len(n) > MaxLinkName {
			return fmt.Errorf("%w: link %q: name of %d octets, want 1 to %d", ErrInvalid, l.Label, len(n), MaxLinkName)
		}
	}
	return nil
}
