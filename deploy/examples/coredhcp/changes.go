package leasehold

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// changesOf gives what a message and its reply say of leases. Their ages are 0.
func changesOf(req, resp dhcpv6.DHCPv6) ([]*ingestv1.Change, error) {
	message, err := req.GetInnerMessage()
	if err != nil {
		return nil, fmt.Errorf("inner message: %w", err)
	}
	client := message.Options.ClientID()
	if client == nil {
		return nil, nil // an Information-request may have none
	}
	duid := client.ToBytes()
	if message.MessageType == dhcpv6.MessageTypeRelease || message.MessageType == dhcpv6.MessageTypeDecline {
		return ends(message, duid), nil
	}
	reply, ok := resp.(*dhcpv6.Message)
	if !ok || reply.MessageType != dhcpv6.MessageTypeReply {
		return nil, nil // an Advertise grants nothing
	}
	levels, err := relays(req)
	if err != nil {
		return nil, err
	}
	return grants(reply, duid, levels), nil
}

// grants are the leases of a reply. A lifetime of 0 is an end (RFC 8415 18.3.4).
func grants(reply *dhcpv6.Message, duid []byte, levels []*ingestv1.RelayLevel) (out []*ingestv1.Change) {
	add := func(l *ingestv1.Lease, preferred, valid time.Duration) {
		if valid <= 0 {
			out = append(out, end(l.GetKind(), l.GetAddress(), l.GetPrefixLength(), duid, l.GetIaid(), ingestv1.Reason_REASON_DELETED))
			return
		}
		l.Duid, l.Relays, l.Preferred, l.Valid, l.Stamp = duid, levels, seconds(preferred), seconds(valid), uint32(time.Now().Unix())
		out = append(out, &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: l}})
	}
	for _, ia := range reply.Options.IANA() {
		for _, a := range ia.Options.Addresses() {
			add(&ingestv1.Lease{Kind: ingestv1.Kind_KIND_NA, Address: a.IPv6Addr.To16(), PrefixLength: 128, Iaid: number(ia.IaId)}, a.PreferredLifetime, a.ValidLifetime)
		}
	}
	for _, ia := range reply.Options.IAPD() {
		for _, p := range ia.Options.Prefixes() {
			if p.Prefix == nil {
				continue
			}
			address, bits := base(p.Prefix)
			add(&ingestv1.Lease{Kind: ingestv1.Kind_KIND_PD, Address: address, PrefixLength: bits, Iaid: number(ia.IaId)}, p.PreferredLifetime, p.ValidLifetime)
		}
	}
	return out
}

// ends is what a client gives back.
func ends(message *dhcpv6.Message, duid []byte) (out []*ingestv1.Change) {
	reason := ingestv1.Reason_REASON_RELEASED
	if message.MessageType == dhcpv6.MessageTypeDecline {
		reason = ingestv1.Reason_REASON_DECLINED
	}
	for _, ia := range message.Options.IANA() {
		for _, a := range ia.Options.Addresses() {
			out = append(out, end(ingestv1.Kind_KIND_NA, a.IPv6Addr.To16(), 128, duid, number(ia.IaId), reason))
		}
	}
	for _, ia := range message.Options.IAPD() {
		for _, p := range ia.Options.Prefixes() {
			if p.Prefix != nil {
				address, bits := base(p.Prefix)
				out = append(out, end(ingestv1.Kind_KIND_PD, address, bits, duid, number(ia.IaId), reason))
			}
		}
	}
	return out
}

func end(kind ingestv1.Kind, address []byte, bits uint32, duid []byte, iaid uint32, reason ingestv1.Reason) *ingestv1.Change {
	return &ingestv1.Change{Change: &ingestv1.Change_End{End: &ingestv1.End{Kind: kind, Address: address, PrefixLength: bits, Duid: duid, Iaid: iaid, Reason: reason}}}
}

// relays is the chain that a message came through, the relay nearest the server first.
func relays(req dhcpv6.DHCPv6) (out []*ingestv1.RelayLevel, err error) {
	for req.IsRelay() {
		r, ok := req.(*dhcpv6.RelayMessage)
		if !ok {
			return nil, fmt.Errorf("a relay message that is a %T", req)
		}
		level := &ingestv1.RelayLevel{HopCount: uint32(r.HopCount), LinkAddress: r.LinkAddr.To16(), PeerAddress: r.PeerAddr.To16()}
		for _, o := range r.Options.Options {
			if o.Code() == dhcpv6.OptionRelayMsg {
				continue
			}
			value := o.ToBytes()
			level.Options = append(level.Options, byte(o.Code()>>8), byte(o.Code()), byte(len(value)>>8), byte(len(value)))
			level.Options = append(level.Options, value...)
		}
		out = append(out, level)
		if req = r.Options.RelayMessage(); req == nil {
			return nil, fmt.Errorf("a relay message without a message in it")
		}
	}
	return out, nil
}

// base is the address of a prefix, without host bits, and its length.
func base(p *net.IPNet) ([]byte, uint32) {
	bits, _ := p.Mask.Size()
	a, _ := netip.AddrFromSlice(p.IP.To16())
	return netip.PrefixFrom(a, bits).Masked().Addr().AsSlice(), uint32(bits)
}

func number(iaid [4]byte) uint32 {
	return uint32(iaid[0])<<24 | uint32(iaid[1])<<16 | uint32(iaid[2])<<8 | uint32(iaid[3])
}

func seconds(d time.Duration) uint32 { return uint32(min(d/time.Second, 1<<32-1)) }
