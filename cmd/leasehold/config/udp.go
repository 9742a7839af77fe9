package config

import (
	"fmt"
	"time"
)

// UDP is leasequery over UDP (RFC 5007), on the addresses and the port of leasequery.listen.
type UDP struct {
	Enabled   bool          `yaml:"enabled"`
	Rate      float64       `yaml:"rate"`      // queries a second from one source address; 0: no limit
	Burst     int           `yaml:"burst"`     // how many at once before Rate counts; 0: two seconds' worth
	MaxHops   int           `yaml:"max_hops"`  // relays that a relayed query may have come through
	Hold      time.Duration `yaml:"hold"`      // how long a query waits while there is no leader; then silence
	Sockets   int           `yaml:"sockets"`   // 0: one for each processor
	Multicast []string      `yaml:"multicast"` // interfaces on which All_DHCP_Relay_Agents_and_Servers and All_DHCP_Servers are answered

	RawFragments bool `yaml:"raw_fragments"` // cut large answers to 1,280 octets by a raw socket, past IPsec policies for UDP
}

// maxHops is the deepest relay chain that is read at all.
const maxHops = 32

func (c *checker) udp(cfg *Config) {
	u := &cfg.UDP
	if a := cfg.Leasequery.Listen.Addr(); u.Enabled && a.Unmap().Is4() {
		c.errorf("leasequery.listen", "%v is IPv4, over which there is no DHCPv6: listen on an IPv6 address, or set udp.enabled: false", a)
	}
	c.rate("udp", u.Rate, u.Burst)
	c.burstAlone("udp", u.Rate, u.Burst)
	if u.MaxHops < 1 || u.MaxHops > maxHops {
		c.errorf("udp.max_hops", "%d, want 1 to %d", u.MaxHops, maxHops)
	}
	if u.Hold < 0 || u.Hold > time.Minute {
		c.errorf("udp.hold", "%v, want 0s to 1m", u.Hold)
	}
	if u.Sockets < 0 || u.Sockets > 1024 {
		c.errorf("udp.sockets", "%d, want 0 (one for each processor) to 1024", u.Sockets)
	}
	for i, name := range u.Multicast {
		if name == "" {
			c.errorf(fmt.Sprintf("udp.multicast[%d]", i), "is empty: want the name of an interface")
		}
	}
}

// rate checks a limit of queries a second.
func (c *checker) rate(key string, rate float64, burst int) {
	if !(rate >= 0 && rate <= 1e9) {
		c.errorf(key+".rate", "%v, want 0 to 1e9 queries a second", rate)
	}
	if burst < 0 || burst > 1_000_000_000 {
		c.errorf(key+".burst", "%d, want 0 (two seconds' worth) to 1000000000", burst)
	}
}

// burstAlone warns of a burst that counts for nothing. In a stanza it goes with the rate that counts for all.
func (c *checker) burstAlone(key string, rate float64, burst int) {
	if rate == 0 && burst > 0 {
		c.warnf(key+".burst", "counts for nothing without %s.rate", key)
	}
}
