package ingest

import (
	"fmt"
	"net/netip"

	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// optionVSS is OPTION_VSS (RFC 6607): which virtual network a relay serves; 255 is the type of the global one.
const (
	optionVSS = 68
	vssGlobal = 255
)

// converter makes changes for the log of changes on the wire. It keeps its memory from batch to batch.
type converter struct {
	changes []fsm.Change
	levels  []binding.Level
	chains  []byte // what the chains of the batch are encoded in

	refused   uint64 // bindings of a virtual network, which may not be stored
	chainless uint64 // bindings whose relay chain is too long, stored without it
}

// convert checks every change of a batch whose ages are held milliseconds old. The result holds until the next call. The error
// wraps binding.ErrInvalid and names the change and its field.
func (c *converter) convert(in []*ingestv1.Change, held int64) ([]fsm.Change, error) {
	c.changes, c.chains, c.refused, c.chainless = c.changes[:0], c.chains[:0], 0, 0
	if len(in) == 0 || len(in) > fsm.MaxChanges {
		return nil, fmt.Errorf("%w: %d changes, want 1 to %d", binding.ErrInvalid, len(in), fsm.MaxChanges)
	}
	for i, x := range in {
		change, err := c.change(x, held)
		if err == nil {
			err = change.Validate()
		}
		if err != nil {
			return nil, fmt.Errorf("change %d: %w", i, err)
		}
		c.changes = append(c.changes, change)
	}
	return c.changes, nil
}

func (c *converter) change(x *ingestv1.Change, held int64) (fsm.Change, error) {
	switch x := x.GetChange().(type) {
	case *ingestv1.Change_Upsert:
		return c.upsert(x.Upsert, held)
	case *ingestv1.Change_End:
		return end(x.End, held)
	case *ingestv1.Change_DefineLink:
		l, err := defineLink(x.DefineLink)
		return fsm.Change{Change: binding.Change{Event: binding.DefineLink, Link: l}}, err
	case *ingestv1.Change_RemoveLink:
		return fsm.Change{Change: binding.Change{Event: binding.RemoveLink, Link: &binding.Link{Label: x.RemoveLink}}}, nil
	}
	return fsm.Change{}, fmt.Errorf("%w: no upsert, end, define_link or remove_link", binding.ErrInvalid)
}

// upsert makes the change of a lease. A lease of a virtual network becomes the end of what that client may have had in the
// global one: an answer from there would put its route into the wrong network.
func (c *converter) upsert(l *ingestv1.Lease, held int64) (fsm.Change, error) {
	kind, prefix, err := key(l.GetKind(), l.GetAddress(), l.GetPrefixLength())
	if err != nil {
		return fsm.Change{}, err
	}
	b := binding.Binding{
		Kind: kind, Prefix: prefix, DUID: l.GetDuid(), IAID: l.GetIaid(), Preferred: min(l.GetPreferred(), l.GetValid()), Valid: l.GetValid(),
		Stamp: l.GetStamp(), LinkName: []byte(l.GetLinkName()), Options: l.GetOptions(),
	}
	vpn, err := c.chain(&b, l)
	if err != nil {
		return fsm.Change{}, err
	}
	age := age(l.GetAgeMs(), held)
	if vpn {
		c.refused++
		return fsm.Change{AgeMS: age, Change: binding.Change{Event: binding.End, Reason: binding.Deleted,
			Binding: binding.Binding{Kind: kind, Prefix: prefix, DUID: b.DUID, IAID: b.IAID}}}, nil
	}
	return fsm.Change{AgeMS: age, Change: binding.Change{Event: binding.Upsert, Binding: b}}, nil
}

// chain encodes the relay chain of a lease and tells whether it belongs to a virtual network.
func (c *converter) chain(b *binding.Binding, l *ingestv1.Lease) (vpn bool, err error) {
	sender, err := address("relay_sender", l.GetRelaySender())
	if err != nil {
		return false, err
	}
	c.levels = c.levels[:0]
	octets := 16
	for i, r := range l.GetRelays() {
		if r.GetHopCount() > 255 {
			return false, fmt.Errorf("%w: relays[%d].hop_count %d", binding.ErrInvalid, i, r.GetHopCount())
		}
		level := binding.Level{HopCount: uint8(r.GetHopCount()), Options: r.GetOptions()}
		if level.Link, err = address("link_address", r.GetLinkAddress()); err == nil {
			level.Peer, err = address("peer_address", r.GetPeerAddress())
		}
		if err != nil {
			return false, fmt.Errorf("relays[%d]: %w", i, err)
		}
		for code, v := range binding.Options(level.Options) {
			vpn = vpn || (code == optionVSS && len(v) > 0 && v[0] != vssGlobal)
		}
		octets += 35 + len(level.Options)
		c.levels = append(c.levels, level)
	}
	if len(c.levels) > binding.MaxHops || octets > binding.MaxChain {
		c.chainless++
		return vpn, nil
	}
	start := len(c.chains)
	c.chains = binding.AppendChain(c.chains, sender, c.levels)
	b.Chain = binding.Chain(c.chains[start:len(c.chains):len(c.chains)])
	return vpn, nil
}

func end(e *ingestv1.End, held int64) (fsm.Change, error) {
	kind, prefix, err := key(e.GetKind(), e.GetAddress(), e.GetPrefixLength())
	if err != nil {
		return fsm.Change{}, err
	}
	reason := binding.Deleted
	switch e.GetReason() {
	case ingestv1.Reason_REASON_DELETED:
	case ingestv1.Reason_REASON_EXPIRED:
		reason = binding.Expired
	case ingestv1.Reason_REASON_RELEASED:
		reason = binding.Released
	case ingestv1.Reason_REASON_DECLINED:
		reason = binding.Declined
	default:
		return fsm.Change{}, fmt.Errorf("%w: reason %v", binding.ErrInvalid, e.GetReason())
	}
	return fsm.Change{AgeMS: age(e.GetAgeMs(), held), Change: binding.Change{Event: binding.End, Reason: reason,
		Binding: binding.Binding{Kind: kind, Prefix: prefix, DUID: e.GetDuid(), IAID: e.GetIaid()}}}, nil
}

func defineLink(in *ingestv1.Link) (*binding.Link, error) {
	l := &binding.Link{Label: in.GetLabel(), Names: in.GetNames()}
	if len(in.GetPrefixes()) > binding.MaxLinkPrefixes || len(in.GetRelays()) > binding.MaxLinkRelays {
		return nil, fmt.Errorf("%w: link %q has too many prefixes or relays", binding.ErrInvalid, l.Label)
	}
	for _, s := range in.GetPrefixes() {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%w: link %q: prefix %q: %w", binding.ErrInvalid, l.Label, s, err)
		}
		l.Prefixes = append(l.Prefixes, p)
	}
	for _, s := range in.GetRelays() {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("%w: link %q: relay %q: %w", binding.ErrInvalid, l.Label, s, err)
		}
		l.Relays = append(l.Relays, a)
	}
	return l, nil
}

// key reads the kind and prefix of a lease.
func key(k ingestv1.Kind, octets []byte, length uint32) (binding.Kind, netip.Prefix, error) {
	a, ok := netip.AddrFromSlice(octets)
	if !ok || !a.Is6() {
		return 0, netip.Prefix{}, fmt.Errorf("%w: address of %d octets, want 16", binding.ErrInvalid, len(octets))
	}
	kind := binding.NA
	switch k {
	case ingestv1.Kind_KIND_NA:
	case ingestv1.Kind_KIND_TA:
		kind = binding.TA
	case ingestv1.Kind_KIND_PD:
		if length > 128 {
			return 0, netip.Prefix{}, fmt.Errorf("%w: prefix_length %d", binding.ErrInvalid, length)
		}
		return binding.PD, netip.PrefixFrom(a, int(length)), nil
	default:
		return 0, netip.Prefix{}, fmt.Errorf("%w: kind %v", binding.ErrInvalid, k)
	}
	return kind, netip.PrefixFrom(a, 128), nil
}

// address reads an address that may be absent, which is ::.
func address(field string, octets []byte) (netip.Addr, error) {
	if len(octets) == 0 {
		return netip.IPv6Unspecified(), nil
	}
	a, ok := netip.AddrFromSlice(octets)
	if !ok || !a.Is6() {
		return a, fmt.Errorf("%w: %s of %d octets, want 16", binding.ErrInvalid, field, len(octets))
	}
	return a, nil
}

// maxAge bounds an age in either direction, in milliseconds: a hundred years.
const maxAge = 100 * 365 * 24 * 3600 * 1000

// age is how old a lease's last transaction is by now.
func age(ms, held int64) int64 { return min(max(ms, -maxAge), maxAge) + held }
