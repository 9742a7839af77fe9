package config

import "time"

// What RFC 7653 6.4 recommends, and recommends not to go below.
const (
	activeReceiveTimeout = 120 * time.Second // ACTIVE_LQ_RCV_TIMEOUT
	activeSendTimeout    = 120 * time.Second // ACTIVE_LQ_SEND_TIMEOUT
	activeIdleTimeout    = 60 * time.Second  // ACTIVE_LQ_IDLE_TIMEOUT
)

// Active is active leasequery (RFC 7653): requestors that subscribe to changes.
type Active struct {
	Enabled                      bool          `yaml:"enabled"`
	Insecure                     bool          `yaml:"insecure"`                        // allows it in clear as well (RFC 7653 9.1)
	MaxSubscriptions             int           `yaml:"max_subscriptions"`               // at once on this node
	MaxSubscriptionsPerRequestor int           `yaml:"max_subscriptions_per_requestor"` // 0: as many as in all
	IdleInterval                 time.Duration `yaml:"idle_interval"`                   // ACTIVE_LQ_IDLE_TIMEOUT: a word at least this often
	DataTimeout                  time.Duration `yaml:"data_timeout"`                    // ACTIVE_LQ_SEND_TIMEOUT: a requestor that reads nothing for this long is closed
	CatchUp                      time.Duration `yaml:"catch_up"`                        // how long ends of bindings are kept; read at bootstrap only
	Sensitive                    []uint16      `yaml:"sensitive_options"`               // option codes never shown to subscribers, besides those never shown at all
}

// active checks the bounds of active leasequery, and whether anybody could subscribe at all.
func (c *checker) active(cfg *Config) {
	a := &cfg.Active
	if a.MaxSubscriptions < 1 || a.MaxSubscriptions > 1_000_000 {
		c.errorf("active.max_subscriptions", "%d, want 1 to 1000000", a.MaxSubscriptions)
	}
	if n := a.MaxSubscriptionsPerRequestor; n < 0 || n > 1_000_000 {
		c.errorf("active.max_subscriptions_per_requestor", "%d, want 0 (as many as in all) to 1000000", n)
	}
	switch d := a.IdleInterval; {
	case d <= 0:
		c.errorf("active.idle_interval", "%v, want more than 0", d)
	case d < activeIdleTimeout:
		c.warnf("active.idle_interval", "%v is under the %v of RFC 7653 6.4 (ACTIVE_LQ_IDLE_TIMEOUT)", d, activeIdleTimeout)
	case d >= activeReceiveTimeout:
		c.warnf("active.idle_interval", "%v: relays that hear nothing for %v (RFC 7653 6.4, ACTIVE_LQ_RCV_TIMEOUT) close the connection", d, activeReceiveTimeout)
	}
	switch d := a.DataTimeout; {
	case d <= 0:
		c.errorf("active.data_timeout", "%v, want more than 0", d)
	case d < activeSendTimeout:
		c.warnf("active.data_timeout", "%v is under the %v of RFC 7653 6.4 (ACTIVE_LQ_SEND_TIMEOUT)", d, activeSendTimeout)
	}
	if !a.Enabled {
		return
	}
	if n := cfg.Bulk.MaxConnections; n < a.MaxSubscriptions {
		c.warnf("active.max_subscriptions", "%d, but each subscription is one of the bulk.max_connections (%d) as well", a.MaxSubscriptions, n)
	}
	switch {
	case cfg.TLS.Mode == TLSOff && !a.Insecure:
		c.warnf("active.enabled", "every subscription is refused with NotAllowed: tls.mode is off, and active.insecure, which allows them in clear, is not set")
	case cfg.TLS.Mode == TLSRequired && a.Insecure:
		c.warnf("active.insecure", "changes nothing: with tls.mode required nothing is answered in clear over TCP")
	}
}
