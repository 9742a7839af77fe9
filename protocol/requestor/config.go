package requestor

import (
	"context"
	"net"
	"time"
)

// Defaults of Config.
const (
	DefaultDialTimeout = 10 * time.Second
	DefaultDataTimeout = 300 * time.Second // BULK_LQ_DATA_TIMEOUT (RFC 5460 5.6)
	DefaultUserTimeout = 30 * time.Second
	DefaultRounds      = 3
	DefaultMinBackoff  = time.Second
	DefaultMaxBackoff  = 30 * time.Second
	DefaultSpoolMemory = 8 << 20
)

// Config says how servers are asked. A field that is zero or negative has its default.
type Config struct {
	// ClientID is the requestor's own DUID, sent in every query (RFC 5007 4.1.1: MUST); 1 to 130 octets. None is made up.
	ClientID []byte
	// DialTimeout bounds the making of one connection.
	DialTimeout time.Duration
	// DataTimeout is BULK_LQ_DATA_TIMEOUT of RFC 5460 5.6: how long a server may take nothing or send nothing.
	DataTimeout time.Duration
	// UserTimeout is TCP_USER_TIMEOUT: how long what was sent may stay unacknowledged. Keepalive probes notice within about
	// the same time that a server is gone while it owes an answer.
	UserTimeout time.Duration
	// ReceiveBuffer is SO_RCVBUF in octets; 0 leaves it to the system.
	ReceiveBuffer int
	// Rounds is how many times QueryAny goes through its servers.
	Rounds int
	// MinBackoff is how long QueryAny waits before its second round, more or less; each further wait is twice as long, up to
	// MaxBackoff (RFC 5460 5.5: wait at least a short interval).
	MinBackoff, MaxBackoff time.Duration
	// SpoolMemory is how many octets of an answer QueryAny keeps in memory; the rest goes to a temporary file.
	SpoolMemory int
	// SpoolDir is where that file is made; empty is the system's place.
	SpoolDir string
	// Stream makes QueryAny hand over clients as they come. An answer that breaks off after its first client is then an
	// error: another server would begin again from the start.
	Stream bool
	// Dial makes connections in place of the network, if it is not nil.
	Dial func(ctx context.Context, server string) (net.Conn, error)
}

// withDefaults is c with defaults where a field is zero or negative.
func (c Config) withDefaults() Config {
	c.DialTimeout = orDefault(c.DialTimeout, DefaultDialTimeout)
	c.DataTimeout = orDefault(c.DataTimeout, DefaultDataTimeout)
	c.UserTimeout = orDefault(c.UserTimeout, DefaultUserTimeout)
	c.Rounds = orDefault(c.Rounds, DefaultRounds)
	c.MinBackoff = orDefault(c.MinBackoff, DefaultMinBackoff)
	c.MaxBackoff = max(c.MinBackoff, orDefault(c.MaxBackoff, DefaultMaxBackoff))
	c.SpoolMemory = orDefault(c.SpoolMemory, DefaultSpoolMemory)
	return c
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}
