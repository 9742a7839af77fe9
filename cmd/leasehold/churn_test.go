package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leasehold/leasehold/feed"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// The world of a churn: links of two relays each, with addresses and delegated prefixes on each link, and more clients than those.
const (
	churnLinks   = 10
	churnPlaces  = 200   // addresses of a link, and as many delegated prefixes
	churnClients = 300   // of a link
	churnLong    = 86400 // seconds of most leases
)

// churnPace is how long a churn waits between flushes.
const churnPace = 20 * time.Millisecond

// churn is a DHCP server whose leases change in every way there is: new, renewed, moved between relays, released, declined, reassigned
// without an end, left to expire, changed twice at once; now and then all of it is stated anew, unchanged.
type churn struct {
	rng     *rand.Rand
	flush   int             // changes between flushes
	limit   int64           // changes after which it rests
	now     chan chan error // asks for everything to be stated anew
	changes atomic.Int64
	resyncs atomic.Int64
	long    atomic.Uint64 // leases that do not run out soon, when everything was stated last
	leases  map[churnPlace]*churnLease
	stamp   uint32
}

// churnPlace is an address, or a delegated prefix.
type churnPlace struct {
	link, number int
	delegated    bool
}

// churnLease is a lease as its server knows it. What is left to expire is told as forgotten: the cluster ends it by itself.
type churnLease struct {
	client, relay int
	valid         uint32
	stamp         uint32
	since         time.Time
}

func newChurn(seed uint64, flush int, changes int64) *churn {
	return &churn{rng: rand.New(rand.NewPCG(seed, 3)), flush: flush, limit: changes, now: make(chan chan error), leases: map[churnPlace]*churnLease{}}
}

// octets are the address, or the prefix.
func (p churnPlace) octets() [16]byte {
	a := [16]byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, byte(p.link)}
	if p.delegated {
		a[4], a[5], a[6], a[7] = 1, byte(p.link), byte(p.number>>8), byte(p.number)
		return a
	}
	binary.BigEndian.PutUint32(a[12:], uint32(p.number)+0x1000)
	return a
}

// churnLink is the link-address of the relays of a link.
func churnLink(link int) netip.Addr { return netip.AddrFrom16(churnPlace{link: link}.octets()) }

func churnDUID(link, client int) []byte {
	return []byte{0, 3, 0, 1, 2, 0, byte(link), 0, byte(client >> 8), byte(client)}
}

func churnRelayID(link, relay int) []byte {
	return fmt.Appendf([]byte{0, 2, 0, 0, 0x7e, 0xd9}, "churn-%02d-%d", link, relay)
}

func churnRemoteID(link, relay int) dhcpv6.RemoteID {
	return dhcpv6.RemoteID{Enterprise: 32473, ID: fmt.Appendf(nil, "port-%d-%d", link, relay)}
}

// Run states all there is as a resync, then changes it until the limit is reached, and then rests.
func (c *churn) Run(ctx context.Context, sink feed.Sink) error {
	if err := c.resync(ctx, sink); err != nil {
		return err
	}
	tick := time.NewTicker(churnPace)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case done := <-c.now:
			err := c.resync(ctx, sink)
			done <- err
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for range c.flush {
			if c.changes.Load() >= c.limit {
				break
			}
			if err := c.step(ctx, sink); err != nil {
				return err
			}
			c.changes.Add(1)
			if c.rng.IntN(20000) == 0 {
				if err := c.resync(ctx, sink); err != nil {
					return err
				}
			}
		}
		if err := sink.Flush(ctx); err != nil {
			return err
		}
	}
}

// restate has everything stated anew while c rests, and tells how many leases do not run out soon.
func (c *churn) restate(t *testing.T) uint64 {
	t.Helper()
	done := make(chan error)
	c.now <- done
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c.long.Load()
}

// resync states everything anew. What may have run out by now is forgotten.
func (c *churn) resync(ctx context.Context, sink feed.Sink) error {
	if err := sink.BeginResync(ctx, true); err != nil {
		return err
	}
	for link := range churnLinks {
		l := &ingestv1.Link{Label: fmt.Sprintf("link-%d", link), Prefixes: []string{netip.PrefixFrom(churnLink(link), 64).Masked().String()},
			Relays: []string{churnLink(link).String()}}
		if err := sink.Change(ctx, &ingestv1.Change{Change: &ingestv1.Change_DefineLink{DefineLink: l}}); err != nil {
			return err
		}
	}
	long := uint64(0)
	for p, l := range c.leases {
		if time.Since(l.since) >= time.Duration(l.valid)*time.Second {
			delete(c.leases, p)
			continue
		}
		if err := c.state(ctx, sink, p, l); err != nil {
			return err
		}
		if l.valid == churnLong {
			long++
		}
	}
	c.long.Store(long)
	c.resyncs.Add(1)
	return sink.EndResync(ctx)
}

// step makes one change.
func (c *churn) step(ctx context.Context, sink feed.Sink) error {
	p := churnPlace{c.rng.IntN(churnLinks), c.rng.IntN(churnPlaces), c.rng.IntN(3) == 0}
	l, known := c.leases[p]
	if known && time.Since(l.since) >= time.Duration(l.valid)*time.Second {
		delete(c.leases, p)
		known = false
	}
	if !known {
		return c.grant(ctx, sink, p, c.rng.IntN(churnClients), c.rng.IntN(2))
	}
	switch c.rng.IntN(8) {
	case 0:
		delete(c.leases, p)
		return c.end(ctx, sink, p, l, ingestv1.Reason_REASON_RELEASED)
	case 1:
		delete(c.leases, p)
		return c.end(ctx, sink, p, l, ingestv1.Reason_REASON_DECLINED)
	case 2: // to another client, without an end
		return c.grant(ctx, sink, p, c.rng.IntN(churnClients), l.relay)
	case 3: // to another relay of the link
		return c.grant(ctx, sink, p, l.client, 1-l.relay)
	case 4: // twice at once
		if err := c.grant(ctx, sink, p, c.rng.IntN(churnClients), l.relay); err != nil {
			return err
		}
	}
	return c.grant(ctx, sink, p, c.leases[p].client, c.leases[p].relay)
}

// grant gives a place to a client, mostly for long.
func (c *churn) grant(ctx context.Context, sink feed.Sink, p churnPlace, client, relay int) error {
	c.stamp++
	l := &churnLease{client: client, relay: relay, valid: churnLong, stamp: c.stamp, since: time.Now()}
	if c.rng.IntN(6) == 0 {
		l.valid = uint32(2 + c.rng.IntN(6))
	}
	c.leases[p] = l
	return c.state(ctx, sink, p, l)
}

func (c *churn) state(ctx context.Context, sink feed.Sink, p churnPlace, l *churnLease) error {
	options, err := dhcpv6.AppendOption(nil, dhcpv6.OptionRelayID, churnRelayID(p.link, l.relay))
	if err == nil {
		options, err = churnRemoteID(p.link, l.relay).AppendBinary(options)
	}
	if err != nil {
		return err
	}
	address, link := p.octets(), churnLink(p.link).As16()
	lease := &ingestv1.Lease{
		Address: address[:], Duid: churnDUID(p.link, l.client), Iaid: 1, Preferred: l.valid / 2, Valid: l.valid,
		AgeMs: sink.Now().Sub(l.since).Milliseconds(), Stamp: l.stamp,
		Relays: []*ingestv1.RelayLevel{{HopCount: 1, LinkAddress: link[:], Options: options}},
	}
	if p.delegated {
		lease.Kind, lease.PrefixLength = ingestv1.Kind_KIND_PD, 64
	}
	return sink.Change(ctx, &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: lease}})
}

func (c *churn) end(ctx context.Context, sink feed.Sink, p churnPlace, l *churnLease, why ingestv1.Reason) error {
	address := p.octets()
	e := &ingestv1.End{Address: address[:], Duid: churnDUID(p.link, l.client), Iaid: 1, Reason: why}
	if p.delegated {
		e.Kind, e.PrefixLength = ingestv1.Kind_KIND_PD, 64
	}
	return sink.Change(ctx, &ingestv1.Change{Change: &ingestv1.Change_End{End: e}})
}
