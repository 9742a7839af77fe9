package ingest

import (
	"bytes"
	"fmt"
	"net/netip"

	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// optionVSS is OPTION_VSS (RFC 6607 3): which virtual network a relay serves; 255 is the type of the global one.
const (
	optionVSS = 68
	vssGlobal = 255
)

// converter makes log entries of changes on the wire. It keeps its memory from batch to batch.
type converter struct {
	changes []fsm.Change
	levels  []binding.Level
	octets  []byte // the chains and link names of a batch
	scratch []byte // the entry while it is written

	refused    uint64      // bindings of a virtual network in the batch, which may not be stored
	refusedKey binding.Key // the last of them
	chainless  uint64      // bindings of the batch whose relay chain is too long, stored without it
}

// entry makes the log entry of a batch whose ages are held milliseconds old. The error wraps binding.ErrInvalid; it is a
// *changeError when it is one change's fault.
func (c *converter) entry(s fsm.Session, in []*ingestv1.Change, held int64) ([]byte, error) {
	c.changes, c.octets, c.refused, c.chainless = c.changes[:0], c.octets[:0], 0, 0
	if len(in) == 0 || len(in) > fsm.MaxChanges {
		return nil, fmt.Errorf("%w: %d changes, want 1 to %d", binding.ErrInvalid, len(in), fsm.MaxChanges)
	}
	for i, x := range in {
		change, bad := c.change(x, held)
		if bad != nil {
			bad.change = i
			return nil, bad
		}
		c.changes = append(c.changes, change)
	}
	var err error
	if c.scratch, err = fsm.AppendChanges(c.scratch[:0], s, c.changes); err != nil {
		return nil, c.blame(err)
	}
	return bytes.Clone(c.scratch), nil
}

// blame finds the change for which an entry could not be made.
func (c *converter) blame(err error) error {
	for i := range c.changes {
		if invalid := c.changes[i].Validate(); invalid != nil {
			return &changeError{change: i, field: culprit(&c.changes[i].Change), err: invalid}
		}
	}
	return err
}

func (c *converter) change(x *ingestv1.Change, held int64) (fsm.Change, *changeError) {
	switch x := x.GetChange().(type) {
	case *ingestv1.Change_Upsert:
		return c.upsert(x.Upsert, held)
	case *ingestv1.Change_End:
		return end(x.End, held)
	case *ingestv1.Change_DefineLink:
		l, bad := defineLink(x.DefineLink)
		return fsm.Change{Change: binding.Change{Event: binding.DefineLink, Link: l}}, bad
	case *ingestv1.Change_RemoveLink:
		return fsm.Change{Change: binding.Change{Event: binding.RemoveLink, Link: &binding.Link{Label: x.RemoveLink}}}, nil
	}
	return fsm.Change{}, wrong("change", "no upsert, end, define_link or remove_link")
}

// upsert makes the change of a lease. A lease of a virtual network becomes the end of what that client may have had in the
// global one: an answer from there would put its route into the wrong network.
func (c *converter) upsert(l *ingestv1.Lease, held int64) (fsm.Change, *changeError) {
	kind, prefix, bad := key(l.GetKind(), l.GetAddress(), l.GetPrefixLength())
	if bad != nil {
		return fsm.Change{}, bad
	}
	out := fsm.Change{AgeMS: age(l.GetAgeMs(), held), Change: binding.Change{Event: binding.Upsert, Binding: binding.Binding{
		Kind: kind, Prefix: prefix, DUID: l.GetDuid(), IAID: l.GetIaid(), Preferred: min(l.GetPreferred(), l.GetValid()), Valid: l.GetValid(),
		Stamp: l.GetStamp(), LinkName: c.keep(l.GetLinkName()), Options: l.GetOptions(),
	}}}
	b := &out.Binding
	vpn, bad := c.chain(b, l)
	if bad != nil || !vpn {
		return out, bad
	}
	if err := b.Validate(); err != nil {
		return out, &changeError{field: culprit(&out.Change), err: err}
	}
	c.refused, c.refusedKey = c.refused+1, b.Key()
	out.Change = binding.Change{Event: binding.End, Reason: binding.Deleted,
		Binding: binding.Binding{Kind: kind, Prefix: prefix, DUID: b.DUID, IAID: b.IAID}}
	return out, nil
}

// keep is the text as octets that hold until the next batch.
func (c *converter) keep(s string) []byte {
	start := len(c.octets)
	c.octets = append(c.octets, s...)
	return c.octets[start:len(c.octets):len(c.octets)]
}

// chain encodes the relay chain of a lease and tells whether it belongs to a virtual network.
func (c *converter) chain(b *binding.Binding, l *ingestv1.Lease) (vpn bool, bad *changeError) {
	sender, bad := parseAddress("relay_sender", l.GetRelaySender())
	if bad != nil {
		return false, bad
	}
	c.levels = c.levels[:0]
	octets := chainHeader
	for i, r := range l.GetRelays() {
		level, bad := parseLevel(i, r)
		if bad != nil {
			return false, bad
		}
		vpn = vpn || inVirtualNetwork(level.Options)
		octets += levelHeader + len(level.Options)
		if i < binding.MaxHops {
			c.levels = append(c.levels, level)
		}
	}
	if len(l.GetRelays()) > binding.MaxHops || octets > binding.MaxChain {
		c.chainless++
		return vpn, nil
	}
	start := len(c.octets)
	c.octets = binding.AppendChain(c.octets, sender, c.levels)
	b.Chain = binding.Chain(c.octets[start:len(c.octets):len(c.octets)])
	return vpn, nil
}

// Octets of a chain's encoding (binding.Chain) beside the options.
const (
	chainHeader = 16
	levelHeader = 1 + 16 + 16 + 2
)

func parseLevel(i int, r *ingestv1.RelayLevel) (l binding.Level, bad *changeError) {
	if r.GetHopCount() > 255 {
		return l, wrong(fmt.Sprintf("relays[%d].hop_count", i), "%d, want at most 255", r.GetHopCount())
	}
	l = binding.Level{HopCount: uint8(r.GetHopCount()), Options: r.GetOptions()}
	if l.Link, bad = parseAddress("link_address", r.GetLinkAddress()); bad == nil {
		l.Peer, bad = parseAddress("peer_address", r.GetPeerAddress())
	}
	if bad != nil {
		bad.field = fmt.Sprintf("relays[%d].%s", i, bad.field)
	}
	return l, bad
}

// inVirtualNetwork tells whether a relay's options say that it serves another network than the global one (RFC 6607 3).
func inVirtualNetwork(options []byte) bool {
	for code, v := range binding.Options(options) {
		if code == optionVSS && (len(v) == 0 || v[0] != vssGlobal) {
			return true
		}
	}
	return false
}

func end(e *ingestv1.End, held int64) (fsm.Change, *changeError) {
	kind, prefix, bad := key(e.GetKind(), e.GetAddress(), e.GetPrefixLength())
	if bad != nil {
		return fsm.Change{}, bad
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
		return fsm.Change{}, wrong("reason", "%v", e.GetReason())
	}
	return fsm.Change{AgeMS: age(e.GetAgeMs(), held), Change: binding.Change{Event: binding.End, Reason: reason,
		Binding: binding.Binding{Kind: kind, Prefix: prefix, DUID: e.GetDuid(), IAID: e.GetIaid()}}}, nil
}

func defineLink(in *ingestv1.Link) (*binding.Link, *changeError) {
	l := &binding.Link{Label: in.GetLabel(), Names: in.GetNames()}
	switch {
	case len(in.GetPrefixes()) > binding.MaxLinkPrefixes:
		return nil, wrong("define_link.prefixes", "%d, want at most %d", len(in.GetPrefixes()), binding.MaxLinkPrefixes)
	case len(in.GetRelays()) > binding.MaxLinkRelays:
		return nil, wrong("define_link.relays", "%d, want at most %d", len(in.GetRelays()), binding.MaxLinkRelays)
	}
	for i, s := range in.GetPrefixes() {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, wrong(fmt.Sprintf("define_link.prefixes[%d]", i), "link %q: %w", l.Label, err)
		}
		l.Prefixes = append(l.Prefixes, p)
	}
	for i, s := range in.GetRelays() {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, wrong(fmt.Sprintf("define_link.relays[%d]", i), "link %q: %w", l.Label, err)
		}
		l.Relays = append(l.Relays, a)
	}
	return l, nil
}

// key reads the kind and prefix of a lease.
func key(k ingestv1.Kind, octets []byte, length uint32) (binding.Kind, netip.Prefix, *changeError) {
	if len(octets) != 16 {
		return 0, netip.Prefix{}, wrong("address", "%d octets, want 16", len(octets))
	}
	a := netip.AddrFrom16([16]byte(octets))
	switch k {
	case ingestv1.Kind_KIND_NA:
		return binding.NA, netip.PrefixFrom(a, 128), nil
	case ingestv1.Kind_KIND_TA:
		return binding.TA, netip.PrefixFrom(a, 128), nil
	case ingestv1.Kind_KIND_PD:
		if length > 128 {
			return 0, netip.Prefix{}, wrong("prefix_length", "%d, want at most 128", length)
		}
		return binding.PD, netip.PrefixFrom(a, int(length)), nil
	}
	return 0, netip.Prefix{}, wrong("kind", "%v", k)
}

// maxAge bounds an age in either direction, in milliseconds: a hundred years.
const maxAge = 100 * 365 * 24 * 3600 * 1000

// age is how old a lease's last transaction is by now.
func age(ms, held int64) int64 { return min(max(ms, -maxAge), maxAge) + held }
