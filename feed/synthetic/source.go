package synthetic

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leasehold/leasehold/feed"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// ErrConfig is wrapped by every error about a Config that cannot work.
var ErrConfig = errors.New("synthetic source configuration")

// maxClients bounds the numbers from which addresses and prefixes are made.
const maxClients = 1 << 32

// Config says what is made up. A lifetime left zero takes its default.
type Config struct {
	Leases    int    // half of them addresses, half delegated prefixes; an odd one is an address
	Relays    int    // 0 is 1
	Seed      uint64 // of what is random in DUIDs, IAIDs and times
	Preferred uint32 // seconds; 0: 3600
	Valid     uint32 // seconds; 0: 7200
	Links     bool   // state each relay's /64 as a link, too, of the name under which leases refer to it
}

// Source is a feed.Source of leases that are made up.
type Source struct{ config Config }

// New makes a source. The error wraps ErrConfig.
func New(config Config) (*Source, error) {
	if config.Relays == 0 {
		config.Relays = 1
	}
	if config.Preferred == 0 {
		config.Preferred = 3600
	}
	if config.Valid == 0 {
		config.Valid = 7200
	}
	if config.Leases < 0 || int64(config.Leases) > 2*maxClients || config.Relays < 0 || int64(config.Relays) > maxClients {
		return nil, fmt.Errorf("%w: %d leases behind %d relays", ErrConfig, config.Leases, config.Relays)
	}
	return &Source{config}, nil
}

// Clients is how many clients there are; the last of an odd number of leases has no prefix.
func (s *Source) Clients() int { return (s.config.Leases + 1) / 2 }

// LinkName is the name by which the leases behind a relay refer to their link when links are stated.
func (s *Source) LinkName(relay int) string { return fmt.Sprintf("relay-%d", relay) }

// Run states all leases as one resync and returns. The last transactions lie up to half the preferred lifetime back.
func (s *Source) Run(ctx context.Context, sink feed.Sink) error {
	links := 0
	if s.config.Links {
		links = s.config.Relays
	}
	sink.Expect(int64(s.config.Leases))
	if err := sink.BeginResync(ctx, s.config.Links); err != nil {
		return err
	}
	for r := range links {
		relay := s.Relay(r)
		err := sink.Change(ctx, &ingestv1.Change{Change: &ingestv1.Change_DefineLink{DefineLink: &ingestv1.Link{
			Label: s.LinkName(r), Names: []string{s.LinkName(r)}, Prefixes: []string{relay.Prefix.String()}, Relays: []string{relay.Link.String()},
		}}})
		if err != nil {
			return err
		}
	}
	m := newMaker(s, time.Now())
	for i := range s.Clients() {
		if err := m.state(ctx, sink, i); err != nil {
			return err
		}
	}
	return sink.EndResync(ctx)
}

// maker fills one message again and again.
type maker struct {
	source  *Source
	start   time.Time
	relays  []Relay // of the numbers used so far, so that each is made once
	change  ingestv1.Change
	lease   ingestv1.Lease
	level   ingestv1.RelayLevel
	options []byte
}

// maxKeptRelays bounds maker.relays.
const maxKeptRelays = 1 << 16

func newMaker(s *Source, start time.Time) *maker {
	m := &maker{source: s, start: start}
	m.change.Change = &ingestv1.Change_Upsert{Upsert: &m.lease}
	m.lease.Relays = []*ingestv1.RelayLevel{&m.level}
	for r := range min(s.config.Relays, maxKeptRelays) {
		m.relays = append(m.relays, s.Relay(r))
	}
	return m
}

func (m *maker) relay(r int) Relay {
	if r < len(m.relays) {
		return m.relays[r]
	}
	return m.source.Relay(r)
}

// state states the address and the prefix of a client.
func (m *maker) state(ctx context.Context, sink feed.Sink, i int) (err error) {
	c := m.source.Client(i)
	relay := m.relay(c.Relay)
	if m.options, err = appendRelayOptions(m.options[:0], &c, relay.ID); err != nil {
		return err
	}
	config, l := &m.source.config, &m.lease
	link, peer := relay.Link.As16(), c.Peer.As16()
	m.level.LinkAddress, m.level.PeerAddress, m.level.Options = link[:], peer[:], m.options
	back := int64(uint64(c.IAID) % uint64(config.Preferred/2+1))
	transaction := m.start.Unix() - back
	l.Duid, l.Iaid, l.Preferred, l.Valid = c.DUID, c.IAID, config.Preferred, config.Valid
	l.Stamp = uint32(transaction)
	if config.Links {
		l.LinkName = m.source.LinkName(c.Relay)
	}
	address, prefix := c.Address.As16(), c.Prefix.Addr().As16()
	l.Kind, l.Address, l.PrefixLength, l.AgeMs = ingestv1.Kind_KIND_NA, address[:], 128, sink.Now().UnixMilli()-transaction*1000
	if err := sink.Change(ctx, &m.change); err != nil {
		return err
	}
	if 2*i+1 >= config.Leases {
		return nil
	}
	l.Kind, l.Address, l.PrefixLength, l.AgeMs = ingestv1.Kind_KIND_PD, prefix[:], uint32(c.Prefix.Bits()), sink.Now().UnixMilli()-transaction*1000
	return sink.Change(ctx, &m.change)
}
