package binding

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Limits on what one binding may carry. They bound memory and the size of a log entry.
const (
	MaxDUID     = 130   // octets (RFC 8415 11.1: 2 of type, 128 of identifier)
	MaxOptions  = 4096  // octets of client options kept with a binding
	MaxLinkName = 255   // octets of a link's name at its source
	MaxChain    = 16384 // octets of an encoded relay chain; a longer one is left out
	MaxHops     = 32    // relays in a chain (RFC 8415 7.6: HOP_COUNT_LIMIT is 8; older relays used 32)
)

// ErrInvalid is wrapped by every error about a binding, link or change that may not be stored.
var ErrInvalid = errors.New("invalid")

// LinkID numbers a link in the replicated link table, in the order of the log. 0 is no link.
type LinkID uint32

// Key names a binding: no two live bindings have one key. Addresses and delegated prefixes are separate name spaces.
type Key struct {
	Prefix    netip.Prefix // an IPv6 prefix without host bits; /128 for an address
	Delegated bool         // whether this is a delegated prefix
}

// String is the address, or the prefix with its length.
func (k Key) String() string {
	if k.Delegated {
		return k.Prefix.String()
	}
	return k.Prefix.Addr().String()
}

// Binding is what a source says of one address or delegated prefix. Its slices may alias a buffer of whoever made it.
type Binding struct {
	Kind            Kind
	Prefix          netip.Prefix // /128 for NA and TA
	DUID            []byte       // 1 to MaxDUID opaque octets
	IAID            uint32
	Preferred       uint32 // seconds granted at LastTransaction; Infinity never ends
	Valid           uint32 // seconds granted at LastTransaction, at least 1; Infinity never ends
	LastTransaction Time   // when the client last spoke to its server, in cluster time (RFC 5007 4.3.4)
	Stamp           uint32 // the last transaction on the source's own clock; compared for equality only
	LinkName        []byte // the source's name for the link; empty when it has none
	Chain           Chain  // the relay chain it came through; empty when it came unrelayed or that is unknown
	Options         []byte // client options as DHCPv6 code, length, value triples, in order
}

// Key is the key of b.
func (b *Binding) Key() Key { return Key{Prefix: b.Prefix, Delegated: b.Kind == PD} }

// Validate tells why b may not be stored: an error that wraps ErrInvalid and names the field, or nil.
func (b *Binding) Validate() error {
	if err := validateKey(b.Kind, b.Prefix); err != nil {
		return err
	}
	switch {
	case len(b.DUID) == 0 || len(b.DUID) > MaxDUID:
		return fmt.Errorf("%w: duid of %d octets, want 1 to %d", ErrInvalid, len(b.DUID), MaxDUID)
	case b.Valid == 0:
		return fmt.Errorf("%w: valid lifetime 0", ErrInvalid)
	case len(b.LinkName) > MaxLinkName:
		return fmt.Errorf("%w: link name of %d octets, want at most %d", ErrInvalid, len(b.LinkName), MaxLinkName)
	case len(b.Options) > MaxOptions:
		return fmt.Errorf("%w: client options of %d octets, want at most %d", ErrInvalid, len(b.Options), MaxOptions)
	}
	if err := validateOptions(b.Options); err != nil {
		return fmt.Errorf("client options: %w", err)
	}
	return b.Chain.Validate()
}

func validateKey(k Kind, p netip.Prefix) error {
	switch {
	case k > PD:
		return fmt.Errorf("%w: kind %d", ErrInvalid, uint8(k))
	case !p.IsValid() || !p.Addr().Is6() || p.Addr().Is4In6() || p.Addr().Zone() != "":
		return fmt.Errorf("%w: prefix %v is not IPv6", ErrInvalid, p)
	case p != p.Masked():
		return fmt.Errorf("%w: prefix %v has bits behind its length", ErrInvalid, p)
	case k != PD && p.Bits() != 128:
		return fmt.Errorf("%w: an address needs length 128, not %d", ErrInvalid, p.Bits())
	case !isGlobal(p.Addr()):
		return fmt.Errorf("%w: %v is not a global unicast prefix", ErrInvalid, p)
	}
	return nil
}

// FormatDUID writes octets as lower-case hex joined by colons.
func FormatDUID(duid []byte) string {
	out := make([]byte, 0, 3*len(duid))
	for i, b := range duid {
		if i > 0 {
			out = append(out, ':')
		}
		out = hex.AppendEncode(out, []byte{b})
	}
	return string(out)
}

// ParseHex reads octets written as hex, with or without a colon between each two digits ("000200ab", "00:02:00:ab").
func ParseHex(s string) ([]byte, error) {
	if strings.Contains(s, ":") {
		for part := range strings.SplitSeq(s, ":") {
			if len(part) != 2 {
				return nil, fmt.Errorf("hex octets %q: %q is not two digits", s, part)
			}
		}
		s = strings.ReplaceAll(s, ":", "")
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("hex octets %q: %w", s, err)
	}
	return b, nil
}
