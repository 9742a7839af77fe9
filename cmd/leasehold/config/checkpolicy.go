package config

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
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

// policy checks who may ask, and what everybody is shown.
func (c *checker) policy(cfg *Config) {
	c.relayData("relay_data", cfg.RelayData, false)
	if b, err := parseHex(cfg.ServerDUID); err != nil || len(b) > 130 || (len(b) > 0 && len(b) < 3) {
		c.errorf("server_duid", "%q, want 3 to 130 octets in hex", cfg.ServerDUID)
	}
	if len(cfg.Requestors) == 0 {
		c.warnf("requestors", "is empty: no relay may ask anything")
	}
	seen := &stanzas{tls: cfg.TLS.Mode, prefixes: map[netip.Prefix]string{}, names: map[string]string{}}
	for i := range cfg.Requestors {
		c.requestor(fmt.Sprintf("requestors[%d]", i), &cfg.Requestors[i], seen)
	}
}

func (c *checker) log(l Log) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		c.errorf("log.level", "%q, want debug, info, warn or error", l.Level)
	}
	if l.Format != "text" && l.Format != "json" {
		c.errorf("log.format", "%q, want text or json", l.Format)
	}
}
