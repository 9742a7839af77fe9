package starttls

import "fmt"

// Mode says whether requestors may, or must, speak TLS on the leasequery port (RFC 7653 9.1).
type Mode uint8

// The modes.
const (
	Off      Mode = iota // STARTTLS is refused with TLSConnectionRefused; the connection stays as it is
	Optional             // requestors that the policy knows by their source address may speak in clear as well
	Required             // a connection that does not begin with STARTTLS is closed
)

// ParseMode reads a mode as configurations write it. The empty string is Off.
func ParseMode(s string) (Mode, error) {
	for _, m := range []Mode{Off, Optional, Required} {
		if s == m.String() {
			return m, nil
		}
	}
	if s == "" {
		return Off, nil
	}
	return Off, fmt.Errorf("TLS mode %q: want off, optional or required", s)
}

// String is the mode as configurations write it.
func (m Mode) String() string {
	switch m {
	case Off:
		return "off"
	case Optional:
		return "optional"
	case Required:
		return "required"
	}
	return fmt.Sprintf("mode %d", uint8(m))
}
