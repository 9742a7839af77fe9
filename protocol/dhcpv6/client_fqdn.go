package dhcpv6

import (
	"fmt"
	"strings"
)

// The flags of OPTION_CLIENT_FQDN (RFC 4704 4.1).
const (
	FQDNServerUpdates = 1 << 0 // S: the server does the AAAA update
	FQDNOverride      = 1 << 1 // O: the server overrode the client's wish
	FQDNNoUpdates     = 1 << 2 // N: the server does no updates
)

// ClientFQDN is the value of OPTION_CLIENT_FQDN (RFC 4704 4): flags, and a name in DNS wire form. A name without a final empty
// label is partial.
type ClientFQDN struct {
	Flags uint8
	Name  []byte
}

// NewClientFQDN makes the option of a name in text; without a final dot the name is partial. The error, which wraps ErrValue,
// names a label that DNS does not allow (RFC 1035 2.3.4: 1 to 63 octets a label, 255 in all).
func NewClientFQDN(flags uint8, name string) (ClientFQDN, error) {
	f := ClientFQDN{Flags: flags}
	full := strings.HasSuffix(name, ".")
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if len(label) == 0 || len(label) > 63 {
			return ClientFQDN{}, fmt.Errorf("host name %q: label %q: %w", name, label, ErrValue)
		}
		f.Name = append(append(f.Name, byte(len(label))), label...)
	}
	if full {
		f.Name = append(f.Name, 0)
	}
	if len(f.Name) > 255 {
		return ClientFQDN{}, fmt.Errorf("host name %q: %w", name, ErrValue)
	}
	return f, nil
}

// ParseClientFQDN reads the option's value; the name is not looked into.
func ParseClientFQDN(value []byte) (ClientFQDN, error) {
	if len(value) < 1 {
		return ClientFQDN{}, parseError(OptionClientFQDN, 0, ErrLength)
	}
	return ClientFQDN{Flags: value[0], Name: value[1:]}, nil
}

// AppendBinary appends the whole option; the error is ErrTooLong.
func (f ClientFQDN) AppendBinary(dst []byte) ([]byte, error) {
	if 1+len(f.Name) > maxOptionValue {
		return dst, ErrTooLong
	}
	return append(append(appendOptionHeader(dst, OptionClientFQDN, 1+len(f.Name)), f.Flags), f.Name...), nil
}

// Length is the option's length in octets, header included.
func (f ClientFQDN) Length() int { return optionHeaderOctets + 1 + len(f.Name) }
