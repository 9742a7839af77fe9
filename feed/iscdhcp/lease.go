package iscdhcp

import (
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// status is a lease's binding state.
type status uint8

const (
	active status = iota
	expired
	released
	abandoned
	free // or what else is no lease
)

// statuses are the words for them.
var statuses = map[string]status{
	"active": active, "expired": expired, "released": released, "abandoned": abandoned, "free": free, "backup": free, "reset": free,
}

// never is the end of what does not end.
const never = int64(1)<<62 - 1

// lease is what a block says of one address or prefix. It owns its octets.
type lease struct {
	prefix    netip.Prefix // /128 for an address
	kind      binding.Kind
	duid      []byte
	iaid      uint32
	preferred uint32
	valid     uint32
	cltt      int64 // of the association, seconds since 1970
	ends      int64 // seconds since 1970, or never
	status    status
	relays    []relay // outermost first
	name      string  // that dhcpd has given to DNS; empty: none
}

// relay is what is known of one relay.
type relay struct {
	hop        uint8
	link, peer netip.Addr // :: when not known
	options    []byte     // code, length, value triples
}

// key is what is leased: an address is never leased and a delegated prefix at once.
func (l *lease) key() netip.Prefix { return l.prefix }

// sameClient tells whether two leases are of one client's association.
func (l *lease) sameClient(o *lease) bool {
	return l.kind == o.kind && l.iaid == o.iaid && string(l.duid) == string(o.duid)
}

// infinite tells whether the lease never ends.
func (l *lease) infinite() bool { return l.valid == binding.Infinity || l.ends == never }

// transaction is when the client last spoke to dhcpd about this address, in seconds since 1970.
func (l *lease) transaction() int64 {
	if l.infinite() {
		return l.cltt
	}
	return min(l.cltt, l.ends-int64(l.valid))
}

// leased tells whether the lease is in force at a time.
func (l *lease) leased(now int64) bool {
	return l.status == active && l.valid > 0 && (l.infinite() || l.transaction()+int64(l.valid) > now)
}

// change is the message that states the lease as it is at now, which is in milliseconds since 1970.
func (l *lease) change(now int64) *ingestv1.Change {
	if !l.leased(now / 1000) {
		return &ingestv1.Change{Change: &ingestv1.Change_End{End: l.end(now)}}
	}
	a, at := l.prefix.Addr().As16(), l.transaction()
	m := &ingestv1.Lease{Kind: ingestv1.Kind(l.kind), Address: a[:], PrefixLength: uint32(l.prefix.Bits()), Duid: l.duid, Iaid: l.iaid,
		Preferred: l.preferred, Valid: l.valid, AgeMs: now - at*1000, Stamp: uint32(at), Options: l.options()}
	if l.infinite() {
		m.Valid = binding.Infinity
	}
	for i := range l.relays {
		r := &l.relays[i]
		link, peer := r.link.As16(), r.peer.As16()
		m.Relays = append(m.Relays, &ingestv1.RelayLevel{HopCount: uint32(r.hop), LinkAddress: link[:], PeerAddress: peer[:], Options: r.options})
	}
	return &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: m}}
}

// end is the message's part for a lease that is over.
func (l *lease) end(now int64) *ingestv1.End {
	a := l.prefix.Addr().As16()
	e := &ingestv1.End{Kind: ingestv1.Kind(l.kind), Address: a[:], PrefixLength: uint32(l.prefix.Bits()), Duid: l.duid, Iaid: l.iaid}
	at := l.cltt
	switch l.status {
	case active, expired:
		e.Reason = ingestv1.Reason_REASON_EXPIRED
		if l.ends != never {
			at = l.transaction() + int64(l.valid)
		}
	case released:
		e.Reason = ingestv1.Reason_REASON_RELEASED
	case abandoned:
		e.Reason = ingestv1.Reason_REASON_DECLINED
	default:
		e.Reason = ingestv1.Reason_REASON_DELETED
	}
	e.AgeMs = max(now-at*1000, 0)
	return e
}

// options are the client's options: its name, if dhcpd has given it one in DNS. A name that DNS does not allow is left out.
func (l *lease) options() []byte {
	if l.name == "" {
		return nil
	}
	f, err := dhcpv6.NewClientFQDN(dhcpv6.FQDNServerUpdates, l.name)
	if err != nil {
		return nil
	}
	out, err := f.AppendBinary(nil)
	if err != nil {
		return nil
	}
	return out
}
