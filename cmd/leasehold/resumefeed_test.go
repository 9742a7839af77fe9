package main

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/feed"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// resumption is a cluster that is fed batch by batch, each in seconds of its own, and what subscribers are told of it.
type resumption struct {
	c      *laptop.Cluster
	server *scripted
	query  requestor.Query
	config requestor.Config
	cancel context.CancelFunc // ends the feeder
	ended  chan error
}

func startResumption(t *testing.T) *resumption {
	t.Helper()
	r := &resumption{c: startCluster(t, 3, append([]string{"active.enabled=true", "active.insecure=true", "bulk.max_connections=100"}, quick...)...)}
	r.server = &scripted{steps: make(chan chan error), leases: map[int]scriptedLease{}}
	r.query = requestor.Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: scriptedAddress(0)}
	r.config = requestor.Config{ClientID: []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 9}, MinBackoff: 50 * time.Millisecond, MaxBackoff: time.Second, Silence: 20 * time.Second}
	r.startFeeding(t)
	return r
}

func (r *resumption) startFeeding(t *testing.T) {
	t.Helper()
	agent := newAgent(t, r.c, "scripted", r.server)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	r.cancel, r.ended = cancel, ended
	go func() { ended <- agent.Run(ctx) }()
	t.Cleanup(cancel)
}

func (r *resumption) stopFeeding(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the feeder ended with %v", err)
	}
}

// serve has the server change something, and returns the client that it changed last, when a second has begun in which nothing changed yet.
func (r *resumption) serve(t *testing.T, change func()) (last string) {
	t.Helper()
	r.server.change(change)
	done := make(chan error)
	r.server.steps <- done
	must(t, <-done)
	r.await(t)
	r.awaitSecond(t)
	return r.server.last
}

// await waits until every node has what the server has.
func (r *resumption) await(t *testing.T) {
	t.Helper()
	want := map[string]string{}
	for a, duid := range r.server.holders() {
		want[a.String()] = duid
	}
	for _, n := range r.c.Nodes {
		until(t, deadline(t, time.Minute), n.Name+" has what the server has", func() bool { return maps.Equal(listed(t, n), want) })
	}
}

// clock is the cluster's clock in whole seconds since 2000 (RFC 7653 6.3.1).
func (r *resumption) clock(t *testing.T) uint32 {
	t.Helper()
	return clockOf(t, adminOf(t, r.c.Nodes[0]))
}

func clockOf(t *testing.T, admin adminv1.AdminClient) uint32 {
	t.Helper()
	s, err := admin.Status(deadline(t, time.Minute), &adminv1.StatusRequest{})
	must(t, err)
	return uint32(s.GetClockMs()/1000 - time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix())
}

// awaitSecond waits until a second of the cluster's clock has begun in which nothing was done yet, whatever node is asked.
func (r *resumption) awaitSecond(t *testing.T) {
	t.Helper()
	admin := adminOf(t, r.c.Nodes[0])
	begin := clockOf(t, admin)
	until(t, deadline(t, time.Minute), "two seconds have begun", func() bool { return clockOf(t, admin) >= begin+2 })
}

// scripted is a DHCP server that states what it has and then what is changed step by step.
type scripted struct {
	steps chan chan error // flush what was changed, and tell

	mu      sync.Mutex
	leases  map[int]scriptedLease // by number of the address
	pending []*ingestv1.Change
	last    string // the client that was changed last
	stamp   uint32
}

type scriptedLease struct {
	client int
	stamp  uint32
	since  time.Time
}

func scriptedAddress(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0x5c, 14: byte(i >> 8), 15: byte(i)})
}

func scriptedDUID(client int) []byte {
	return []byte{0, 3, 0, 1, 2, 0, 0x5c, 0, byte(client >> 8), byte(client)}
}

func (s *scripted) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// grant gives the addresses from up to to, those of the clients with the same numbers, or renews them.
func (s *scripted) grant(from, to int) {
	for i := from; i < to; i++ {
		s.reassign(i, i)
	}
}

// reassign gives an address to a client, whoever has it.
func (s *scripted) reassign(address, client int) {
	s.stamp++
	s.leases[address] = scriptedLease{client, s.stamp, time.Now()}
	s.pending = append(s.pending, s.upsert(address))
	s.last = string(scriptedDUID(client))
}

// release ends a lease.
func (s *scripted) release(address int) {
	l, a := s.leases[address], scriptedAddress(address+1).As16()
	delete(s.leases, address)
	s.pending = append(s.pending, &ingestv1.Change{Change: &ingestv1.Change_End{End: &ingestv1.End{Address: a[:], Duid: scriptedDUID(l.client), Iaid: 1,
		Reason: ingestv1.Reason_REASON_RELEASED}}})
	s.last = string(scriptedDUID(l.client))
}

func (s *scripted) upsert(address int) *ingestv1.Change {
	l, a, link := s.leases[address], scriptedAddress(address+1).As16(), scriptedAddress(0).As16()
	return &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: &ingestv1.Lease{
		Address: a[:], Duid: scriptedDUID(l.client), Iaid: 1, Preferred: 43200, Valid: 86400, AgeMs: time.Since(l.since).Milliseconds(), Stamp: l.stamp,
		Relays: []*ingestv1.RelayLevel{{HopCount: 1, LinkAddress: link[:]}},
	}}}
}

// holders is which client has which address.
func (s *scripted) holders() map[netip.Addr]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[netip.Addr]string{}
	for i, l := range s.leases {
		out[scriptedAddress(i+1)] = string(scriptedDUID(l.client))
	}
	return out
}

// Run states everything, and then what changes.
func (s *scripted) Run(ctx context.Context, sink feed.Sink) error {
	if err := sink.BeginResync(ctx, false); err != nil {
		return err
	}
	s.mu.Lock()
	s.pending = nil
	var all []*ingestv1.Change
	for i := range s.leases {
		all = append(all, s.upsert(i))
	}
	s.mu.Unlock()
	if err := state(ctx, sink, all); err != nil {
		return err
	}
	if err := sink.EndResync(ctx); err != nil {
		return err
	}
	for {
		select {
		case done := <-s.steps:
			s.mu.Lock()
			news := s.pending
			s.pending = nil
			s.mu.Unlock()
			err := state(ctx, sink, news)
			done <- err
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func state(ctx context.Context, sink feed.Sink, changes []*ingestv1.Change) error {
	for _, c := range changes {
		if err := sink.Change(ctx, c); err != nil {
			return err
		}
	}
	return sink.Flush(ctx)
}
