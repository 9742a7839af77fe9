package requestor

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/leasehold/leasehold/protocol/starttls"
)

// Defaults of Config.
const (
	// DefaultDialTimeout leaves time for the connection requests that are sent at 0, 1 and 3 s, when a virtual address may have
	// moved to another node in between.
	DefaultDialTimeout = 4 * time.Second
	DefaultDataTimeout = 300 * time.Second // BULK_LQ_DATA_TIMEOUT (RFC 5460 5.6)
	DefaultUserTimeout = 5 * time.Second
	DefaultPatience    = 3 * time.Second
	DefaultRounds      = 4
	DefaultTries       = 5                // LQ_MAX_RC (RFC 5007 4.1.4)
	DefaultMinBackoff  = time.Second      // LQ_TIMEOUT (RFC 5007 4.1.4)
	DefaultMaxBackoff  = 10 * time.Second // LQ_MAX_RT (RFC 5007 4.1.4)
	DefaultSpoolMemory = 8 << 20
	// DefaultSilence is ACTIVE_LQ_RCV_TIMEOUT (RFC 7653 6.4).
	DefaultSilence = 120 * time.Second
)

// Config says how servers are asked. A field that is zero or negative has its default.
type Config struct {
	// ClientID is the requestor's own DUID, sent in every query (RFC 5007 4.1.1: MUST); 1 to 130 octets. None is made up.
	ClientID []byte
	// DialTimeout bounds the making of one connection, and the looking up of one name.
	DialTimeout time.Duration
	// DataTimeout is BULK_LQ_DATA_TIMEOUT of RFC 5460 5.6: how long a server may take nothing or send nothing.
	DataTimeout time.Duration
	// UserTimeout is TCP_USER_TIMEOUT: how long a server's host may acknowledge nothing, neither octets of the query nor the
	// keepalive probes that are sent every second while nothing comes. A host that is gone is noticed within it, whether it owes
	// the first octet or the rest of an answer. One whose kernel lives while the server hangs is not: see Patience.
	UserTimeout time.Duration
	// Silence is ACTIVE_LQ_RCV_TIMEOUT of RFC 7653 6.4: how long a server that Watch has subscribed to may send no whole message. Servers
	// send an empty one every 60 s; less than 120 s SHOULD NOT be set.
	Silence time.Duration
	// Patience is how long QueryAny lets a server say nothing before it asks the next one as well. The silent one is not given
	// up: it has DataTimeout, and the first complete answer counts.
	Patience time.Duration
	// TLS makes every connection speak TLS (RFC 7653 8.2), whose certificate must bear the server's name or address as it was given. Nil
	// speaks in clear.
	TLS *starttls.Client
	// ReceiveBuffer is SO_RCVBUF in octets; 0 leaves it to the system.
	ReceiveBuffer int
	// Rounds is how many times QueryAny goes through its servers.
	Rounds int
	// Tries is LQ_MAX_RC of RFC 5007 4.1.4: how many times QueryUDP sends a query to one server.
	Tries int
	// MinBackoff is how long QueryAny waits before its second round; each further wait is twice as long, up to MaxBackoff, and
	// all are a tenth more or less (RFC 8415 15). RFC 5460 5.5 wants at least a short interval. Watch waits so between its rounds, and its
	// MaxBackoff is ACTIVE_LQ_IDLE_TIMEOUT (60 s) if none is given. For QueryUDP they are LQ_TIMEOUT and LQ_MAX_RT of RFC 5007 4.1.4.
	MinBackoff, MaxBackoff time.Duration
	// SpoolMemory is how many octets of an answer QueryAny keeps in memory; the rest goes to a temporary file.
	SpoolMemory int
	// SpoolDir is where that file is made; empty is the system's place.
	SpoolDir string
	// Stream makes QueryAny hand over clients as they come. An answer that breaks off after its first client is then an
	// error: another server would begin again from the start.
	Stream bool
	// Tolerant takes an answer in which a client cannot be read, or its relay data cannot, and gives that client with its Flaw, rather than
	// end the answer with ErrProtocol: for servers that get some of their messages wrong, and are better than none.
	Tolerant bool
	// Server is told the DUID of the server in every LEASEQUERY-REPLY that is one, before anything else of the answer is. Its error ends the
	// attempt. The octets are the message's; it may be called by several goroutines. Nil takes any server.
	Server func(duid []byte) error
	// Report is told of every attempt that fails, and of every server that another is asked beside because it is silent, as it
	// happens (Err then wraps ErrSilent). Watch tells every subscription that ends as well. It is called from within QueryAny or Watch, one
	// call at a time. Nil tells nobody.
	Report func(Attempt)
	// Dial makes connections in place of the network, if it is not nil. Names are then not looked up.
	Dial func(ctx context.Context, server string) (net.Conn, error)
	// Lookup finds the addresses of a host by its name, in place of the system, if it is not nil.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	asked string // the server as it was given, where its name has been looked up since
}

// withDefaults is c with defaults where a field is zero or negative.
func (c Config) withDefaults() Config {
	c.DialTimeout = orDefault(c.DialTimeout, DefaultDialTimeout)
	c.DataTimeout = orDefault(c.DataTimeout, DefaultDataTimeout)
	c.Silence = orDefault(c.Silence, DefaultSilence)
	c.UserTimeout = orDefault(c.UserTimeout, DefaultUserTimeout)
	c.Patience = orDefault(c.Patience, DefaultPatience)
	c.Rounds = orDefault(c.Rounds, DefaultRounds)
	c.Tries = orDefault(c.Tries, DefaultTries)
	c.MinBackoff = orDefault(c.MinBackoff, DefaultMinBackoff)
	c.MaxBackoff = max(c.MinBackoff, orDefault(c.MaxBackoff, DefaultMaxBackoff))
	c.SpoolMemory = orDefault(c.SpoolMemory, DefaultSpoolMemory)
	if c.Server == nil {
		c.Server = func([]byte) error { return nil }
	}
	if c.Report == nil {
		c.Report = func(Attempt) {}
	}
	if c.Lookup == nil {
		c.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return c
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}
