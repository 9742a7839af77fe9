package upstream

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

var (
	errTime    = errors.New("its last transaction was before 1970")
	errOptions = errors.New("client options left out: more octets than may be kept")
	errRelay   = errors.New("relay data left out: options of more octets than a message has")
)

// maxLevelOptions is how many octets the options of a relay message have at most: those of a UDP datagram.
const maxLevelOptions = 1<<16 - 1

// storable tells why a cluster would not store a binding, or nil.
func storable(p netip.Prefix, delegated bool, duid []byte) error {
	b := binding.Binding{Kind: binding.NA, Prefix: p, DUID: duid, Valid: 1}
	if delegated {
		b.Kind = binding.PD
	}
	return b.Validate()
}

// change is one message that is filled anew for each binding.
type change struct {
	message ingestv1.Change
	lease   *ingestv1.Change_Upsert
	ending  *ingestv1.Change_End
	levels  []*ingestv1.RelayLevel
	octets  []byte // of addresses
	options []byte
	relayed []byte // of relays' options
}

func newChange() *change {
	return &change{lease: &ingestv1.Change_Upsert{Upsert: new(ingestv1.Lease)}, ending: &ingestv1.Change_End{End: new(ingestv1.End)}}
}

// upsert is the change that states a binding. It holds until the next one is made, and aliases the message.
func (c *change) upsert(t *teller, m *message, p place, e *entry) *ingestv1.Change {
	l := c.lease.Upsert
	c.octets = c.octets[:0]
	l.Kind, l.Address, l.PrefixLength = kindOf(p), c.address(p.prefix().Addr()), uint32(p.bits)
	l.Duid, l.Preferred, l.Valid, l.Stamp = m.DUID, e.preferred, e.valid, uint32(e.last)
	l.AgeMs = age(t.sink.Now(), m, e.last)
	l.LinkName = t.source.config.linkName(e.link)
	var err error
	if l.Options, err = c.clientOptions(m.Options, t.source.config.Options); err != nil {
		t.source.refuse(m.Client, p.prefix(), err)
	}
	l.RelaySender, l.Relays = nil, nil
	if m.HasRelay {
		if err := c.relays(l, &m.Relay); err != nil {
			t.source.refuse(m.Client, p.prefix(), err)
		}
	}
	c.message.Change = c.lease
	return &c.message
}

// end is the change that states the end of a binding. Why it has ended the server does not tell; one that had run out has expired.
func (c *change) end(t *teller, m *message, p place, old *entry) *ingestv1.Change {
	c.octets = c.octets[:0]
	e, at := c.ending.End, m.now
	e.Kind, e.Address, e.PrefixLength, e.Duid = kindOf(p), c.address(p.prefix().Addr()), uint32(p.bits), m.DUID
	e.Reason = ingestv1.Reason_REASON_DELETED
	if ends := old.ends(); ends <= m.now+m.jitter {
		e.Reason, at = ingestv1.Reason_REASON_EXPIRED, min(ends, m.now)
	}
	e.AgeMs = age(t.sink.Now(), m, at)
	c.message.Change = c.ending
	return &c.message
}

func kindOf(p place) ingestv1.Kind {
	if p.delegated {
		return ingestv1.Kind_KIND_PD
	}
	return ingestv1.Kind_KIND_NA
}

// age is how long before now a second of the server's clock was, in milliseconds.
func age(now time.Time, m *message, at int64) int64 { return now.UnixMilli() + m.skew - at*1000 }

func (c *change) address(a netip.Addr) []byte {
	octets := a.As16()
	c.octets = append(c.octets, octets[:]...)
	return c.octets[len(c.octets)-16 : len(c.octets) : len(c.octets)]
}

// clientOptions are the client's options that were asked for.
func (c *change) clientOptions(options []requestor.Option, asked []dhcpv6.OptionCode) ([]byte, error) {
	c.options = c.options[:0]
	for _, o := range options {
		if !slices.Contains(asked, o.Code) {
			continue
		}
		out, err := dhcpv6.AppendOption(c.options, o.Code, o.Data)
		if err != nil || len(out) > binding.MaxOptions {
			return c.options, errOptions
		}
		c.options = out
	}
	return c.options, nil
}

// relays fills in the relay chain.
func (c *change) relays(l *ingestv1.Lease, r *requestor.Relay) error {
	c.relayed = c.relayed[:0]
	for len(c.levels) < len(r.Levels) {
		c.levels = append(c.levels, new(ingestv1.RelayLevel))
	}
	for i := range r.Levels {
		from, level := len(c.relayed), &r.Levels[i]
		for _, o := range level.Options {
			out, err := dhcpv6.AppendOption(c.relayed, o.Code, o.Data)
			if err != nil || len(out)-from > maxLevelOptions {
				return errRelay
			}
			c.relayed = out
		}
		into := c.levels[i]
		into.HopCount, into.LinkAddress, into.PeerAddress = uint32(level.HopCount), c.address(level.Link), c.address(level.Peer)
		into.Options = c.relayed[from:len(c.relayed):len(c.relayed)]
	}
	l.Relays = c.levels[:len(r.Levels)]
	if len(r.Levels) > 0 && r.Peer.IsValid() && !r.Peer.IsUnspecified() {
		l.RelaySender = c.address(r.Peer)
	}
	return nil
}
