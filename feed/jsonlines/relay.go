package jsonlines

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/leasehold/leasehold/fsm/binding"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// relayObject is one relay of a chain.
type relayObject struct {
	HopCount     *uint8         `json:"hop_count"`
	Link         string         `json:"link"`
	Peer         string         `json:"peer"`
	InterfaceID  string         `json:"interface_id"`
	RemoteID     string         `json:"remote_id"`
	RelayID      string         `json:"relay_id"`
	SubscriberID string         `json:"subscriber_id"`
	Options      []optionObject `json:"options"`
}

// optionObject is a DHCPv6 option.
type optionObject struct {
	Code uint16 `json:"code"`
	Data string `json:"data"` // hex; may be empty
}

// Octets of an encoded relay chain beside its options (binding.Chain).
const (
	chainOctets = 16
	levelOctets = 1 + 16 + 16 + 2
)

// fillRelays puts the relay chain into the lease.
func (o *leaseObject) fillRelays(l *ingestv1.Lease) error {
	var err error
	if l.RelaySender, err = optionalAddress("sender", o.Sender); err != nil {
		return err
	}
	if len(o.Relays) > binding.MaxHops {
		return wrong("relays", "%d, want at most %d", len(o.Relays), binding.MaxHops)
	}
	octets := chainOctets
	for i := range o.Relays {
		level, err := o.Relays[i].level(fmt.Sprintf("relays[%d].", i), len(o.Relays)-1-i)
		if err != nil {
			return err
		}
		if octets += levelOctets + len(level.Options); octets > binding.MaxChain {
			return wrong("relays", "more than %d octets in all", binding.MaxChain)
		}
		l.Relays = append(l.Relays, level)
	}
	return nil
}

// level is the relay as the contract has it; hops is its hop-count unless it says another.
func (r *relayObject) level(at string, hops int) (*ingestv1.RelayLevel, error) {
	level := &ingestv1.RelayLevel{HopCount: uint32(hops)}
	if r.HopCount != nil {
		level.HopCount = uint32(*r.HopCount)
	}
	var err error
	if level.LinkAddress, err = optionalAddress(at+"link", r.Link); err != nil {
		return nil, err
	}
	if level.PeerAddress, err = optionalAddress(at+"peer", r.Peer); err != nil {
		return nil, err
	}
	for _, o := range []struct {
		code       dhcpv6.OptionCode
		name, text string
		read       func(name, text string, limit int) ([]byte, error)
	}{
		{dhcpv6.OptionInterfaceID, "interface_id", r.InterfaceID, hexField},
		{dhcpv6.OptionRemoteID, "remote_id", r.RemoteID, remoteID},
		{dhcpv6.OptionSubscriberID, "subscriber_id", r.SubscriberID, hexField},
		{dhcpv6.OptionRelayID, "relay_id", r.RelayID, hexField},
	} {
		if o.text == "" {
			continue
		}
		value, err := o.read(at+o.name, o.text, binding.MaxChain)
		if err != nil {
			return nil, err
		}
		level.Options = appendOption(level.Options, uint16(o.code), value)
	}
	level.Options, err = appendOptions(level.Options, at+"options", r.Options, binding.MaxChain)
	return level, err
}

// remoteID reads ENTERPRISE:HEX as the octets of OPTION_REMOTE_ID.
func remoteID(name, text string, limit int) ([]byte, error) {
	number, rest, _ := strings.Cut(text, ":")
	enterprise, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return nil, wrong(name, "%.40q: want ENTERPRISE:HEX, such as 32473:6f6c74", text)
	}
	id, err := hexField(name, rest, limit)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(enterprise)), id...), nil
}

// optionalAddress reads an IPv6 address; nil when there is none.
func optionalAddress(name, text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return nil, wrong(name, "%w", err)
	case !a.Is6() || a.Zone() != "":
		return nil, wrong(name, "%q is not an IPv6 address without zone", text)
	}
	return a.AsSlice(), nil
}

// appendOptions appends options as code, length, value, up to limit octets in all.
func appendOptions(dst []byte, name string, options []optionObject, limit int) ([]byte, error) {
	for i, o := range options {
		at := fmt.Sprintf("%s[%d]", name, i)
		if o.Code == 0 {
			return nil, wrong(at+".code", "0 or missing")
		}
		if o.Code == uint16(dhcpv6.OptionRelayMessage) {
			return nil, wrong(at+".code", "%d is the relayed message", o.Code)
		}
		value, err := binding.ParseHex(o.Data)
		if err != nil {
			return nil, wrong(at+".data", "%w", err)
		}
		if len(dst)+4+len(value) > limit {
			return nil, wrong(at, "more than %d octets of options", limit)
		}
		dst = appendOption(dst, o.Code, value)
	}
	return dst, nil
}

func appendOption(dst []byte, code uint16, value []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, code)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}
