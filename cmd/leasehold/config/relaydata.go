package config

import "go.yaml.in/yaml/v4"

// RelayDataMode says when OPTION_LQ_RELAY_DATA is sent.
type RelayDataMode string

// The relay data modes.
const (
	OnRequest RelayDataMode = "on-request" // when the query's option request option asks for it
	Always    RelayDataMode = "always"
)

// RelayDataPlace says where OPTION_LQ_RELAY_DATA stands in a LEASEQUERY-REPLY over UDP.
type RelayDataPlace string

// The places of relay data.
const (
	InClientData RelayDataPlace = "client-data" // inside OPTION_CLIENT_DATA
	InMessage    RelayDataPlace = "message"     // beside it
)

// RelayData says when and where relay data is sent. In the file it is either the mode alone or a mapping; empty fields are as for
// all requestors.
type RelayData struct {
	Mode  RelayDataMode  `yaml:"mode"`
	Place RelayDataPlace `yaml:"place"`
}

// UnmarshalYAML reads `always` and `{mode: always, place: message}`.
func (r *RelayData) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return n.Load(&r.Mode)
	}
	type plain RelayData
	return n.Load((*plain)(r), yaml.WithKnownFields())
}

// relayData checks a setting of relay data. Only in a stanza its fields may be empty.
func (c *checker) relayData(key string, r RelayData, stanza bool) {
	mode, place := key+".mode", key+".place"
	if _, mapping := c.lines[mode]; !mapping {
		mode = key
	}
	if r.Mode != OnRequest && r.Mode != Always && (r.Mode != "" || !stanza) {
		c.errorf(mode, "%q, want %s or %s", r.Mode, OnRequest, Always)
	}
	if r.Place != InClientData && r.Place != InMessage && (r.Place != "" || !stanza) {
		c.errorf(place, "%q, want %s or %s", r.Place, InClientData, InMessage)
	}
}
