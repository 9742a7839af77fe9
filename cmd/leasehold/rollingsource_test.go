package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/leasehold/leasehold/feed"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// Which of a stream's relays has what. The first ones do not change while it runs, so that their answers are known.
var steadyRelays = []int{1, 40, 1500} // clients of each

// churnRelay is the one whose clients come while the stream runs.
const churnRelay = 200

// stream is a DHCP server that first states what it has and then hands out one lease after the other until it is stopped.
type stream struct {
	number int
	stop   chan struct{}
	stated atomic.Int64 // clients of churnRelay
}

func newStream(number int) *stream { return &stream{number: number, stop: make(chan struct{})} }

func (s *stream) name() string { return fmt.Sprintf("server-%d", s.number) }

// address is that of the client i of a relay.
func (s *stream) address(relay, i int) netip.Addr {
	a := [16]byte{0x20, 1, 0xd, 0xb8, 0, byte(s.number), 0, byte(relay)}
	binary.BigEndian.PutUint32(a[12:], uint32(i)+0x1000)
	return netip.AddrFrom16(a)
}

func (s *stream) duid(relay, i int) []byte {
	return binary.BigEndian.AppendUint32([]byte{0, 3, 0, 1, 2, byte(s.number), byte(relay), 0}, uint32(i))
}

// relayID is the DUID in a relay's OPTION_RELAY_ID.
func (s *stream) relayID(relay int) []byte {
	return fmt.Appendf([]byte{0, 2, 0, 0, 0x7e, 0xd9}, "roll-%02d-%03d", s.number, relay)
}

// Run states everything stated before as one resync, and then goes on.
func (s *stream) Run(ctx context.Context, sink feed.Sink) error {
	if err := sink.BeginResync(ctx, false); err != nil {
		return err
	}
	for relay, clients := range steadyRelays {
		if err := s.state(ctx, sink, relay, 0, clients); err != nil {
			return err
		}
	}
	if err := s.state(ctx, sink, churnRelay, 0, int(s.stated.Load())); err != nil {
		return err
	}
	if err := sink.EndResync(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		from := int(s.stated.Load())
		if err := s.state(ctx, sink, churnRelay, from, from+10); err != nil {
			return err
		}
		s.stated.Store(int64(from + 10))
		if err := sink.Flush(ctx); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-s.stop:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// state states the clients from up to to of a relay.
func (s *stream) state(ctx context.Context, sink feed.Sink, relay, from, to int) error {
	link := s.address(relay, 0).As16()
	options, err := dhcpv6.AppendOption(nil, dhcpv6.OptionRelayID, s.relayID(relay))
	if err != nil {
		return err
	}
	for i := from; i < to; i++ {
		address := s.address(relay, i).As16()
		l := &ingestv1.Lease{
			Kind: ingestv1.Kind_KIND_NA, Address: address[:], Duid: s.duid(relay, i), Iaid: 1, Preferred: 3600, Valid: 7200, AgeMs: 1000, Stamp: 7,
			Relays: []*ingestv1.RelayLevel{{HopCount: 1, LinkAddress: link[:], Options: options}},
		}
		if err := sink.Change(ctx, &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: l}}); err != nil {
			return err
		}
	}
	return nil
}

// want adds what a node must list of the stream: the client by its address.
func (s *stream) want(listed map[string]string) {
	add := func(relay, clients int) {
		for i := range clients {
			listed[s.address(relay, i).String()] = string(s.duid(relay, i))
		}
	}
	for relay, clients := range steadyRelays {
		add(relay, clients)
	}
	add(churnRelay, int(s.stated.Load()))
}
