package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/leasehold/leasehold/feed"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// A campus is links of some relays each, and clients with an address and mostly a prefix: behind one relay, behind two, or behind none.
const (
	campusLinks   = 4
	campusRelays  = 5 // on each link
	campusClients = 2500
	campusSpare   = 500 // clients that have nothing in the beginning
)

// campus is a DHCP server whose clients come, renew, move, release and let run out, at random.
type campus struct {
	mu     sync.Mutex
	rng    *rand.Rand
	leases map[netip.Prefix]*campusLease
	stated int // changes beyond the first statement
}

// campusLease is one lease; a client's are all on one link.
type campusLease struct {
	client int
	kind   ingestv1.Kind
	relay  int // -1: it came unrelayed
	valid  uint32
	since  time.Time
}

func newCampus(seed uint64) *campus {
	s := &campus{rng: rand.New(rand.NewPCG(seed, 5)), leases: map[netip.Prefix]*campusLease{}}
	for i := range campusClients {
		s.grant(i, s.rng.IntN(campusRelays+1)-1, 86400, time.Now().Add(-time.Duration(s.rng.IntN(40000))*time.Second))
	}
	return s
}

func campusLink(client int) int { return client % campusLinks }

func campusPrefix(link int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0xca, 0, byte(link)}), 64)
}

func campusDUID(client int) []byte {
	return binary.BigEndian.AppendUint32([]byte{0, 3, 0, 1, 2, 0xca}, uint32(client))
}

func campusRelayID(link, relay int) []byte {
	return fmt.Appendf([]byte{0, 2, 0, 0, 0x7e, 0xd9}, "campus-%d-%d", link, relay)
}

// campusAddress is the address of a number on a link, or the delegated /56.
func campusAddress(link, number int, delegated bool) netip.Prefix {
	a, bits := campusPrefix(link).Addr().As16(), 128
	if delegated {
		a, bits = [16]byte{0x3f, 0xff, 0x0c, 0xa0 | byte(link)}, 56
		binary.BigEndian.PutUint32(a[3:], uint32(link)<<24|uint32(number))
	} else {
		binary.BigEndian.PutUint32(a[12:], uint32(number)+0x1000)
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), bits)
}

// grant gives a client its own address and, if its number is not divisible by five, its prefix; whoever has them has them no more.
func (s *campus) grant(client, relay int, valid uint32, since time.Time) (out []*ingestv1.Change) {
	out = append(out, s.lease(campusAddress(campusLink(client), client, false), client, ingestv1.Kind_KIND_NA, relay, valid, since))
	if client%5 > 0 {
		out = append(out, s.lease(campusAddress(campusLink(client), client, true), client, ingestv1.Kind_KIND_PD, relay, valid, since))
	}
	return out
}

func (s *campus) lease(p netip.Prefix, client int, kind ingestv1.Kind, relay int, valid uint32, since time.Time) *ingestv1.Change {
	s.leases[p] = &campusLease{client, kind, relay, valid, since}
	return s.upsert(p)
}

// upsert states a lease.
func (s *campus) upsert(p netip.Prefix) *ingestv1.Change {
	l, a := s.leases[p], p.Addr().As16()
	link := campusLink(l.client)
	out := &ingestv1.Lease{
		Kind: l.kind, Address: a[:], PrefixLength: uint32(p.Bits()), Duid: campusDUID(l.client), Iaid: uint32(l.client), Preferred: l.valid / 2, Valid: l.valid,
		AgeMs: time.Since(l.since).Milliseconds(), Stamp: uint32(l.since.UnixMilli()), LinkName: fmt.Sprintf("subnet-%d", link),
	}
	if l.client%2 > 0 {
		f, err := dhcpv6.NewClientFQDN(dhcpv6.FQDNServerUpdates, fmt.Sprintf("host-%d.example.org.", l.client))
		if err == nil {
			out.Options, err = f.AppendBinary(nil)
		}
		if err != nil {
			panic(err)
		}
	}
	if l.relay >= 0 {
		out.Relays = campusChain(l.client, link, l.relay)
	}
	return &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: out}}
}

// campusChain is the relays of a client: the one of its link, and for every third a lightweight one before it (RFC 6221).
func campusChain(client, link, relay int) []*ingestv1.RelayLevel {
	own, peer := campusPrefix(link).Addr().As16(), [16]byte{0: 0xfe, 1: 0x80, 14: byte(client >> 8), 15: byte(client)}
	own[15] = byte(relay + 1)
	outer := &ingestv1.RelayLevel{LinkAddress: own[:], PeerAddress: peer[:], Options: campusOptions(
		dhcpv6.OptionInterfaceID, fmt.Appendf(nil, "eth%d", relay), dhcpv6.OptionRelayID, campusRelayID(link, relay))}
	port := campusOptions(dhcpv6.OptionInterfaceID, fmt.Appendf(nil, "port %d", client), dhcpv6.OptionRemoteID, fmt.Appendf([]byte{0, 0, 0x7e, 0xd9}, "line-%d", client))
	if client%3 > 0 {
		outer.Options = append(outer.Options, port...)
		return []*ingestv1.RelayLevel{outer}
	}
	outer.HopCount = 1
	return []*ingestv1.RelayLevel{outer, {PeerAddress: peer[:], Options: port}}
}

func campusOptions(pairs ...any) (out []byte) {
	for i := 0; i < len(pairs); i += 2 {
		var err error
		if out, err = dhcpv6.AppendOption(out, pairs[i].(dhcpv6.OptionCode), pairs[i+1].([]byte)); err != nil {
			panic(err)
		}
	}
	return out
}

// held are the leases of a client; it may have its neighbour's address.
func (s *campus) held(client int) (out []netip.Prefix) {
	link := campusLink(client)
	for _, p := range []netip.Prefix{
		campusAddress(link, client, false), campusAddress(link, client, true), campusAddress(link, campusNeighbour(client, -1), false),
	} {
		if l := s.leases[p]; l != nil && l.client == client {
			out = append(out, p)
		}
	}
	return out
}

// campusNeighbour is another client on the same link.
func campusNeighbour(client, by int) int {
	const all = campusClients + campusSpare
	return (client + by*campusLinks + all) % all
}

// campusPartial tells whether a client may release one lease of several. A server tells one transaction time for a client, and who was told
// of the release knows that time, while the server goes on with that of what is left.
func campusPartial(client int) bool { return client%7 == 3 }

// step is something that happens to one client; but for releases it happens to all its leases.
func (s *campus) step() []*ingestv1.Change {
	client, relay := s.rng.IntN(campusClients+campusSpare), s.rng.IntN(campusRelays)
	held := s.held(client)
	switch {
	case len(held) == 0: // it comes
		return s.grant(client, relay, 86400, time.Now())
	case time.Since(s.leases[held[0]].since) < 3*time.Second:
		return nil // transactions closer together cannot be told apart by whole seconds
	}
	switch dice := s.rng.IntN(100); {
	case dice < 50: // it renews
		return s.renew(held, s.leases[held[0]].relay, 86400)
	case dice < 65: // it moves to another relay
		return s.renew(held, relay, 86400)
	case dice < 70: // it gets short leases
		return s.renew(held, relay, 3)
	case dice < 80: // its address goes to a neighbour that has nothing, without an end
		other := campusNeighbour(client, 1)
		if p := campusAddress(campusLink(client), client, false); held[0] == p && len(s.held(other)) == 0 {
			return []*ingestv1.Change{s.lease(p, other, ingestv1.Kind_KIND_NA, relay, 86400, time.Now())}
		}
		return nil
	case dice < 90 && campusPartial(client):
		return s.release(held[:1])
	}
	return s.release(held)
}

// renew renews leases of one client.
func (s *campus) renew(held []netip.Prefix, relay int, valid uint32) (out []*ingestv1.Change) {
	for _, p := range held {
		l := s.leases[p]
		l.since, l.relay, l.valid = time.Now(), relay, valid
		out = append(out, s.upsert(p))
	}
	return out
}

// release ends leases.
func (s *campus) release(held []netip.Prefix) (out []*ingestv1.Change) {
	for _, p := range held {
		l, a := s.leases[p], p.Addr().As16()
		delete(s.leases, p)
		out = append(out, &ingestv1.Change{Change: &ingestv1.Change_End{End: &ingestv1.End{Kind: l.kind, Address: a[:], PrefixLength: uint32(p.Bits()),
			Duid: campusDUID(l.client), Iaid: uint32(l.client), Reason: ingestv1.Reason_REASON_RELEASED}}})
	}
	return out
}

// Run states everything, and then goes on until ctx ends.
func (s *campus) Run(ctx context.Context, sink feed.Sink) error {
	if err := sink.BeginResync(ctx, true); err != nil {
		return err
	}
	for i := range campusLinks {
		err := sink.Change(ctx, &ingestv1.Change{Change: &ingestv1.Change_DefineLink{DefineLink: &ingestv1.Link{
			Label: fmt.Sprintf("subnet-%d", i), Names: []string{fmt.Sprintf("subnet-%d", i)}, Prefixes: []string{campusPrefix(i).String()}}}})
		if err != nil {
			return err
		}
	}
	for p := range s.leases {
		if err := sink.Change(ctx, s.upsert(p)); err != nil {
			return err
		}
	}
	if err := sink.EndResync(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		s.mu.Lock()
		var news []*ingestv1.Change
		for range 10 {
			news = append(news, s.step()...)
		}
		s.stated += len(news)
		s.mu.Unlock()
		if err := state(ctx, sink, news); err != nil {
			return err
		}
	}
}

// changes is how many changes were stated beyond the first statement.
func (s *campus) changes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stated
}
