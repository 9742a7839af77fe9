package dnsmasq

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/leasehold/leasehold/fsm/binding"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// lease is what is known of one address.
type lease struct {
	address     netip.Addr
	kind        binding.Kind
	duid        string // octets
	iaid        uint32
	name        string     // empty: none
	expires     int64      // seconds since 1970; 0: never
	transaction int64      // seconds since 1970, as well as it is known
	valid       uint32     // seconds
	guessed     bool       // transaction is only the latest that it can have been
	relay       netip.Addr // link-address of the relay; invalid when not known
}

// sameClient tells whether two leases are of one client's association.
func (l *lease) sameClient(o *lease) bool {
	return l.kind == o.kind && l.iaid == o.iaid && l.duid == o.duid
}

// leased tells whether the lease is in force at a time, in seconds.
func (l *lease) leased(now int64) bool { return l.expires == 0 || l.expires > now }

// granted sets when and for how long the lease was given, from the time of the transaction.
func (l *lease) granted(at int64) {
	if l.expires == 0 {
		l.transaction, l.valid = at, binding.Infinity
		return
	}
	l.valid = uint32(min(max(l.expires-at, 1), int64(binding.Infinity)-1))
	l.transaction = l.expires - int64(l.valid)
}

// upsert is the message that states the lease; now is in milliseconds since 1970.
func (l *lease) upsert(now int64) *ingestv1.Change {
	a := l.address.As16()
	m := &ingestv1.Lease{Kind: ingestv1.Kind(l.kind), Address: a[:], PrefixLength: 128, Duid: []byte(l.duid), Iaid: l.iaid,
		Preferred: l.valid, Valid: l.valid, AgeMs: now - l.transaction*1000, Stamp: uint32(l.transaction), Options: l.options()}
	if l.relay.IsValid() {
		link := l.relay.As16()
		m.Relays = []*ingestv1.RelayLevel{{LinkAddress: link[:]}}
	}
	return &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: m}}
}

// end is the message that states that the lease is over, since at: in milliseconds, as now.
func (l *lease) end(now, at int64) *ingestv1.Change {
	a := l.address.As16()
	e := &ingestv1.End{Kind: ingestv1.Kind(l.kind), Address: a[:], PrefixLength: 128, Duid: []byte(l.duid), Iaid: l.iaid,
		Reason: ingestv1.Reason_REASON_RELEASED}
	if !l.leased(at / 1000) {
		e.Reason, at = ingestv1.Reason_REASON_EXPIRED, l.expires*1000
	}
	e.AgeMs = max(now-at, 0)
	return &ingestv1.Change{Change: &ingestv1.Change_End{End: e}}
}

// options are the client's options: its name. A name that DNS does not allow is left out.
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

// beforeLengths is a time before which no expiry is: a smaller number is the length of a lease (dnsmasq built without a clock).
const beforeLengths = 1_000_000_000

// parseExpiry reads when a lease ends: seconds since 1970, 0 for never.
func parseExpiry(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 48)
	switch {
	case err != nil:
		return 0, fmt.Errorf("expiry: %w: %.40q", ErrNumber, text)
	case n > 0 && n < beforeLengths:
		return 0, fmt.Errorf("expiry %d: %w", n, ErrLength)
	}
	return int64(n), nil
}

// parseIAID reads an IAID, with a T before it for an IA_TA.
func parseIAID(text string) (iaid uint32, kind binding.Kind, err error) {
	if len(text) > 0 && text[0] == 'T' {
		text, kind = text[1:], binding.TA
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, kind, fmt.Errorf("iaid: %w: %.40q", ErrNumber, text)
	}
	return uint32(n), kind, nil
}

// parseAddress reads an address that can be leased.
func parseAddress(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsLoopback() {
		return netip.Addr{}, fmt.Errorf("%w: %.60q", ErrAddress, text)
	}
	return a, nil
}

// parseDUID reads a client's DUID.
func parseDUID(text string) (string, error) {
	octets, err := binding.ParseHex(text)
	if err != nil || len(octets) == 0 || len(octets) > binding.MaxDUID {
		return "", fmt.Errorf("%w of 1 to %d octets in hex: %.60q", ErrDUID, binding.MaxDUID, text)
	}
	return string(octets), nil
}
