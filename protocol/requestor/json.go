package requestor

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
)

// The shape of a client in `leasehold query --json`. Programs outside the project read it.
type jsonClient struct {
	DUID            string        `json:"duid"`
	LastTransaction uint32        `json:"last_transaction_seconds"`
	Addresses       []jsonAddress `json:"addresses"`
	Prefixes        []jsonPrefix  `json:"prefixes"`
	Options         []jsonOption  `json:"options"`
	Relay           *jsonRelay    `json:"relay,omitempty"`
}

type jsonAddress struct {
	Address   netip.Addr `json:"address"`
	Preferred uint32     `json:"preferred"`
	Valid     uint32     `json:"valid"`
}

type jsonPrefix struct {
	Prefix    netip.Prefix `json:"prefix"`
	Preferred uint32       `json:"preferred"`
	Valid     uint32       `json:"valid"`
}

type jsonOption struct {
	Code uint16 `json:"code"`
	Data string `json:"data"`
}

type jsonRelay struct {
	Peer   netip.Addr  `json:"peer"`
	Levels []jsonLevel `json:"levels"`
}

type jsonLevel struct {
	HopCount uint8        `json:"hop_count"`
	Link     netip.Addr   `json:"link"`
	Peer     netip.Addr   `json:"peer"`
	Options  []jsonOption `json:"options"`
}

// AppendJSON appends c as one JSON object, without a line end:
//
//	{"duid":"00:01:…","last_transaction_seconds":12,
//	 "addresses":[{"address":"2001:db8::1","preferred":3600,"valid":7200}],
//	 "prefixes":[{"prefix":"2001:db8:1::/56","preferred":3600,"valid":7200}],
//	 "options":[{"code":39,"data":"hex"}],
//	 "relay":{"peer":"2001:db8::2","levels":[{"hop_count":0,"link":"…","peer":"…","options":[{"code":18,"data":"hex"}]}]}}
//
// Lists are never null; relay is there only when the server gave it. An infinite lifetime is 4294967295.
func (c *Client) AppendJSON(dst []byte) ([]byte, error) {
	j := jsonClient{
		DUID:            binding.FormatDUID(c.DUID),
		LastTransaction: c.LastTransaction,
		Addresses:       make([]jsonAddress, len(c.Addresses)),
		Prefixes:        make([]jsonPrefix, len(c.Prefixes)),
		Options:         jsonOptions(c.Options),
	}
	for i, a := range c.Addresses {
		j.Addresses[i] = jsonAddress(a)
	}
	for i, p := range c.Prefixes {
		j.Prefixes[i] = jsonPrefix(p)
	}
	if c.HasRelay {
		j.Relay = &jsonRelay{Peer: c.Relay.Peer, Levels: make([]jsonLevel, len(c.Relay.Levels))}
		for i, l := range c.Relay.Levels {
			j.Relay.Levels[i] = jsonLevel{HopCount: l.HopCount, Link: l.Link, Peer: l.Peer, Options: jsonOptions(l.Options)}
		}
	}
	b, err := json.Marshal(j)
	if err != nil {
		return dst, fmt.Errorf("write client %s as JSON: %w", j.DUID, err)
	}
	return append(dst, b...), nil
}

func jsonOptions(options []Option) []jsonOption {
	out := make([]jsonOption, len(options))
	for i, o := range options {
		out[i] = jsonOption{Code: uint16(o.Code), Data: hex.EncodeToString(o.Data)}
	}
	return out
}
