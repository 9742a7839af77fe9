package bulk

import (
	"time"

	"github.com/leasehold/leasehold/protocol/starttls"
)

// DefaultMaxStrangers is how many connections strangers may have.
const DefaultMaxStrangers = 16

// maxSendBufferTLS caps Config.SendBuffer where TLS is on, for 256 KiB a connection: beside it and the input there is what TLS has sealed
// and what it has not opened.
const maxSendBufferTLS = 32 << 10

// TLS says how requestors may speak TLS (RFC 7653 9.1). The zero TLS refuses STARTTLS.
type TLS struct {
	Mode starttls.Mode
	// Credentials is what the server shows and whom it believes; nil only with mode Off. Whoever made it runs it.
	Credentials *starttls.Credentials
	// HandshakeTimeout is how long a requestor may take from STARTTLS to the end of the handshake, and a stranger from the beginning of
	// its connection. Zero or less: 10 s.
	HandshakeTimeout time.Duration
	// MaxStrangers is how many connections may be open from source addresses that the policy does not know, until a certificate tells
	// who they are. They do not count as MaxConnections before. Zero: 16; less: none, so that names only add to source addresses.
	MaxStrangers int
}

// withDefaults is t with defaults.
func (t TLS) withDefaults() TLS {
	t.HandshakeTimeout = orDefault(t.HandshakeTimeout, starttls.DefaultHandshakeTimeout)
	switch {
	case t.Mode == starttls.Off || t.MaxStrangers < 0:
		t.MaxStrangers = 0
	case t.MaxStrangers == 0:
		t.MaxStrangers = DefaultMaxStrangers
	}
	return t
}
