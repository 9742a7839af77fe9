package bulk

import (
	"time"

	"github.com/leasehold/leasehold/protocol/active"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// Defaults of Config.
const (
	DefaultMaxConnections             = 10 // BULK_LQ_MAX_CONNS (RFC 5460 5.6)
	DefaultMaxConnectionsPerRequestor = 10
	DefaultMaxQueriesPerConnection    = 16
	DefaultMaxQueriesPerRequestor     = 64
	DefaultIdleTimeout                = 300 * time.Second
	DefaultDataTimeout                = 300 * time.Second // BULK_LQ_DATA_TIMEOUT (RFC 5460 5.6)
	DefaultMaxViewAge                 = 10 * time.Minute
	DefaultMaxViewPinned              = 256 << 20
	DefaultMaxViewsKept               = 1 << 30
	DefaultDrainTimeout               = 10 * time.Second
	DefaultSendBuffer                 = 64 << 10
)

// maxSendBuffer caps Config.SendBuffer, so that a connection costs at most 256 KiB: this, one message more, and the input.
const maxSendBuffer = 120 << 10

// Config bounds what requestors may take. A field that is zero or negative has its default. A requestor's own stanza in the
// policy goes before the limits for one requestor and one connection.
type Config struct {
	// MaxConnections is how many connections may be open at once, BULK_LQ_MAX_CONNS of RFC 5460 5.6. At the limit the longest
	// idle connection makes room; when none is idle the newcomer is closed. A CMTS opens one connection for each of its
	// interfaces when it restarts.
	MaxConnections int
	// MaxConnectionsPerRequestor is how many of them one source address may have. Its own longest idle one makes room.
	MaxConnectionsPerRequestor int
	// MaxQueriesPerConnection is how many queries of a connection run side by side. Further ones are not read (RFC 5460 7.3).
	MaxQueriesPerConnection int
	// MaxQueriesPerRequestor is how many queries of a source address run side by side, over all of its connections.
	MaxQueriesPerRequestor int
	// IdleTimeout closes a connection on which no query has run for this long.
	IdleTimeout time.Duration
	// DataTimeout is BULK_LQ_DATA_TIMEOUT of RFC 5460 5.6: how long a requestor may leave a buffer of answers unread, or a
	// query half sent. Octets that trickle do not renew it.
	DataTimeout time.Duration
	// MaxViewAge ends an answer that has run for longer with QueryTerminated: its view keeps old state in memory.
	MaxViewAge time.Duration
	// MaxViewPinned ends an answer whose view alone keeps more octets than this in memory, in the same way.
	MaxViewPinned int64
	// MaxViewsKept bounds what the views of all answers keep in memory together: where it is more, the oldest answers that nobody reads
	// end in the same way, until it is not. Each of many stalled requestors may keep less than MaxViewPinned.
	MaxViewsKept int64
	// DrainTimeout is how long running answers may go on after Run's context has ended.
	DrainTimeout time.Duration
	// Answering is closed when the server first can answer. Connections that come before are closed at accept, so that their
	// requestors ask another server at once instead of waiting. Nil: it can from the start.
	Answering <-chan struct{}
	// TLS is STARTTLS (RFC 7653 9.1).
	TLS TLS
	// Active says who may subscribe to changes, on a connection of its own (RFC 7653 9).
	Active active.Config
	// Rate is how many queries a second a requestor may send, over all of its connections, and Burst how many of them at once. What is
	// past them is not read until its time has come. Rate zero or less: no limit. Burst zero or less: the queries of two seconds.
	Rate  float64
	Burst int
	// SendBuffer is how many octets of replies are gathered before they are written; at most 120 KiB, with TLS on 32 KiB. One message more may
	// stand behind them.
	SendBuffer int
}

// DefaultConfig is the Config with every field at its default.
func DefaultConfig() Config { return Config{}.withDefaults() }

// withDefaults is c with defaults where a field is zero or negative, and its buffer capped.
func (c Config) withDefaults() Config {
	c.MaxConnections = orDefault(c.MaxConnections, DefaultMaxConnections)
	c.MaxConnectionsPerRequestor = orDefault(c.MaxConnectionsPerRequestor, DefaultMaxConnectionsPerRequestor)
	c.MaxQueriesPerConnection = orDefault(c.MaxQueriesPerConnection, DefaultMaxQueriesPerConnection)
	c.MaxQueriesPerRequestor = orDefault(c.MaxQueriesPerRequestor, DefaultMaxQueriesPerRequestor)
	c.IdleTimeout = orDefault(c.IdleTimeout, DefaultIdleTimeout)
	c.DataTimeout = orDefault(c.DataTimeout, DefaultDataTimeout)
	c.MaxViewAge = orDefault(c.MaxViewAge, DefaultMaxViewAge)
	c.MaxViewPinned = orDefault(c.MaxViewPinned, DefaultMaxViewPinned)
	c.MaxViewsKept = orDefault(c.MaxViewsKept, DefaultMaxViewsKept)
	c.DrainTimeout = orDefault(c.DrainTimeout, DefaultDrainTimeout)
	c.TLS = c.TLS.withDefaults()
	c.Active = c.Active.WithDefaults()
	c.SendBuffer = min(orDefault(c.SendBuffer, DefaultSendBuffer), maxSendBuffer)
	if c.TLS.Mode != starttls.Off {
		c.SendBuffer = min(c.SendBuffer, maxSendBufferTLS)
	}
	return c
}

func orDefault[T int | int64 | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}
