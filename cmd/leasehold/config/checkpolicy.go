package config

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
)

// queryTypes are the names that a requestor stanza may list, with their numbers (RFC 5007 4.1.2.1, RFC 5460 5.1).
func queryTypes() map[string]uint8 {
	return map[string]uint8{"address": 1, "client-id": 2, "relay-id": 3, "link-address": 4, "remote-id": 5}
}

// QueryTypeNumbers are the numbers of the stanza's query types; nil means all.
func (r *Requestor) QueryTypeNumbers() []uint8 {
	var out []uint8
	for _, n := range r.QueryTypes {
		out = append(out, queryTypes()[n])
	}
	return out
}

// ServerDUIDBytes is the configured server DUID; nil when the cluster is to make one.
func (c *Config) ServerDUIDBytes() []byte {
	b, _ := parseHex(c.ServerDUID) // checked when the file was read
	return b
}

// RelayIDBytes are the relay-ids of the stanza.
func (r *Restricted) RelayIDBytes() [][]byte {
	var out [][]byte
	for _, s := range r.RelayIDs {
		b, _ := parseHex(s) // checked when the file was read
		out = append(out, b)
	}
	return out
}

func parseHex(s string) ([]byte, error) { return hex.DecodeString(strings.ReplaceAll(s, ":", "")) }

// features refuses what this version cannot do, rather than seem to do it.
func (c *checker) features(cfg *Config) {
	if cfg.Active.Enabled {
		c.errorf("active.enabled", "active leasequery is not in this version: leave it false")
	}
	if cfg.Active.MaxSubscriptions < 0 {
		c.errorf("active.max_subscriptions", "%d, want 0 or more", cfg.Active.MaxSubscriptions)
	}
	if cfg.TLS.Mode != "off" {
		c.errorf("tls.mode", "%q: STARTTLS is not in this version: want off", cfg.TLS.Mode)
	}
	if b, err := parseHex(cfg.ServerDUID); err != nil || len(b) > 130 || (len(b) > 0 && len(b) < 3) {
		c.errorf("server_duid", "%q, want 3 to 130 octets in hex", cfg.ServerDUID)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		c.errorf("log.level", "%q, want debug, info, warn or error", cfg.Log.Level)
	}
	if cfg.Log.Format != "text" && cfg.Log.Format != "json" {
		c.errorf("log.format", "%q, want text or json", cfg.Log.Format)
	}
}

func (c *checker) policy(cfg *Config) {
	if cfg.RelayData != OnRequest && cfg.RelayData != Always {
		c.errorf("relay_data", "%q, want %s or %s", cfg.RelayData, OnRequest, Always)
	}
	if len(cfg.Requestors) == 0 {
		c.warnf("requestors", "is empty: no relay may ask anything")
	}
	seen := map[string]string{}
	for i := range cfg.Requestors {
		c.requestor(fmt.Sprintf("requestors[%d]", i), &cfg.Requestors[i], seen)
	}
}

func (c *checker) requestor(key string, r *Requestor, seen map[string]string) {
	if len(r.Prefixes) == 0 {
		c.errorf(key+".prefixes", "is empty: name the prefixes that the requestor asks from")
	}
	for i, p := range r.Prefixes {
		pk := fmt.Sprintf("%s.prefixes[%d]", key, i)
		if p.Masked() != p {
			c.errorf(pk, "%v has bits behind its length: did you mean %v?", p, p.Masked())
		}
		if other, dup := seen[p.String()]; dup {
			c.errorf(pk, "%v stands in %s already", p, other)
		}
		seen[p.String()] = key
	}
	for i, t := range r.QueryTypes {
		if _, ok := queryTypes()[t]; !ok {
			c.errorf(fmt.Sprintf("%s.query_types[%d]", key, i), "%q, want address, client-id, relay-id, link-address or remote-id", t)
		}
	}
	if r.RelayData != "" && r.RelayData != OnRequest && r.RelayData != Always {
		c.errorf(key+".relay_data", "%q, want %s or %s", r.RelayData, OnRequest, Always)
	}
	if r.Relayed != "" && r.Relayed != "allow" && r.Relayed != "refuse" {
		c.errorf(key+".relayed", "%q, want allow or refuse", r.Relayed)
	}
	if r.MaxConnections < 0 || r.MaxQueries < 0 || r.MaxQueriesPerConnection < 0 {
		c.errorf(key, "limits must be 0 (as for all) or more")
	}
	if r.Restricted == nil {
		return
	}
	for i, id := range r.Restricted.RelayIDs {
		if b, err := parseHex(id); err != nil || len(b) == 0 || len(b) > 130 {
			c.errorf(fmt.Sprintf("%s.restricted.relay_ids[%d]", key, i), "%q, want 1 to 130 octets in hex", id)
		}
	}
}
