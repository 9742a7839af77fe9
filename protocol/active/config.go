package active

import "time"

// Defaults of Config.
const (
	DefaultMaxSubscriptions = 100
	DefaultIdleInterval     = 60 * time.Second  // ACTIVE_LQ_IDLE_TIMEOUT (RFC 7653 6.4)
	DefaultDataTimeout      = 120 * time.Second // ACTIVE_LQ_SEND_TIMEOUT (RFC 7653 6.4)
)

// Config says who may subscribe. The zero Config refuses every subscription; a number or time that is zero or negative has its
// default.
type Config struct {
	// Enabled lets requestors subscribe (RFC 7653 9.1: not until configured). Without it they get NotSupported.
	Enabled bool
	// Insecure lets them in clear as well: the second switch of RFC 7653 9.1. Without it whoever is not inside TLS gets NotAllowed.
	Insecure bool
	// MaxSubscriptions is how many there may be at once. Each has a connection for itself, which counts as a connection too. Whoever
	// comes when the places are taken gets QueryTerminated: another server may have one.
	MaxSubscriptions int
	// MaxSubscriptionsPerRequestor is how many of them one requestor may have; its own stanza in the policy goes before. Zero is as
	// many as in all.
	MaxSubscriptionsPerRequestor int
	// IdleInterval is ACTIVE_LQ_IDLE_TIMEOUT: a subscription that has had nothing to tell for this long says that it is there.
	IdleInterval time.Duration
	// DataTimeout is ACTIVE_LQ_SEND_TIMEOUT: how long a subscriber may leave a buffer unread. Octets that trickle do not renew it.
	DataTimeout time.Duration
}

// WithDefaults is c with defaults where a field is zero or negative.
func (c Config) WithDefaults() Config {
	if c.MaxSubscriptions <= 0 {
		c.MaxSubscriptions = DefaultMaxSubscriptions
	}
	if c.MaxSubscriptionsPerRequestor <= 0 {
		c.MaxSubscriptionsPerRequestor = c.MaxSubscriptions
	}
	if c.IdleInterval <= 0 {
		c.IdleInterval = DefaultIdleInterval
	}
	if c.DataTimeout <= 0 {
		c.DataTimeout = DefaultDataTimeout
	}
	return c
}
