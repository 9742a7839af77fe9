//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// hostileWorld is the leases that a node under attack has: of so many links, each of a relay of its own, with so many clients each. They are
// renewed all the time and never end: so each answer is known.
type hostileWorld struct {
	links, clients int
	renewed        atomic.Int64
}

const (
	hostileSource = "hostile"
	hostileValid  = 86400 // seconds of every lease
)

// link is the link-address of the relay of a link.
func (w *hostileWorld) link(link int) netip.Addr {
	a := [16]byte{0x20, 1, 0xd, 0xb8, 0, 4, byte(link >> 8), byte(link)}
	return netip.AddrFrom16(a)
}

func (w *hostileWorld) address(link, client int) netip.Addr {
	a := w.link(link).As16()
	binary.BigEndian.PutUint32(a[12:], uint32(client)+1)
	return netip.AddrFrom16(a)
}

func (w *hostileWorld) duid(link, client int) []byte {
	return binary.BigEndian.AppendUint32([]byte{0, 3, 0, 1, byte(link >> 8), byte(link)}, uint32(client))
}

func (w *hostileWorld) relayID(link int) []byte {
	return binary.BigEndian.AppendUint16([]byte("\x00\x02\x00\x00\x7e\xd9hostile"), uint16(link))
}

// check says what is wrong with what was told of a client, which must be on link unless that is negative.
func (w *hostileWorld) check(c *requestor.Client, link int) error {
	if len(c.Addresses) != 1 || len(c.Prefixes) != 0 || len(c.DUID) != 10 {
		return fmt.Errorf("%w: %d addresses and %d prefixes of %x", errImpossible, len(c.Addresses), len(c.Prefixes), c.DUID)
	}
	a := c.Addresses[0]
	octets := a.Address.As16()
	l, n := int(binary.BigEndian.Uint16(octets[6:])), int(binary.BigEndian.Uint32(octets[12:]))-1
	if l >= w.links || n < 0 || n >= w.clients || w.address(l, n) != a.Address || string(w.duid(l, n)) != string(c.DUID) {
		return fmt.Errorf("%w: %v is told to be of %x", errImpossible, a.Address, c.DUID)
	}
	if link >= 0 && l != link {
		return fmt.Errorf("%w: %v is not on link %d", errImpossible, a.Address, link)
	}
	if a.Valid == 0 || a.Valid > hostileValid || a.Preferred > a.Valid {
		return fmt.Errorf("%w: %v with lifetimes %d and %d", errImpossible, a.Address, a.Preferred, a.Valid)
	}
	return nil
}

// batch is leases from a place in the order of all on, renewed for the round.
func (w *hostileWorld) batch(sequence uint64, from, count int, round uint32) (*ingestv1.FeedRequest, error) {
	var changes []*ingestv1.Change
	for i := from; i < from+count; i++ {
		// Neighbours in time are no neighbours in the state, as of relays that come up one by one.
		n := i % (w.links * w.clients)
		link, client := n%w.links, n/w.links
		options, err := dhcpv6.RelayID(w.relayID(link)).AppendBinary(nil)
		if err != nil {
			return nil, err
		}
		address, level := w.address(link, client).As16(), w.link(link).As16()
		lease := &ingestv1.Lease{Address: address[:], Duid: w.duid(link, client), Iaid: 1, Preferred: hostileValid / 2, Valid: hostileValid, Stamp: round,
			Relays: []*ingestv1.RelayLevel{{LinkAddress: level[:], Options: options}}}
		changes = append(changes, &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: lease}})
	}
	return &ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Batch{Batch: &ingestv1.Batch{
		Sequence: sequence, Content: &ingestv1.Batch_Changes{Changes: &ingestv1.Changes{Changes: changes}}}}}, nil
}

// renewer states all leases and then renews them at a pace.
type renewer struct {
	world  *hostileWorld
	stream ingestv1.Ingest_FeedClient
	sent   uint64        // batches
	acked  atomic.Uint64 // batches
	at     int           // leases sent
}

// feedStep is how long after a batch of renewals the next one follows.
const feedStep = 10 * time.Millisecond

// feedWindow is how many batches may be under way: a node that is slow is not fed faster for that.
const feedWindow = 64

// newRenewer connects to a node from its own host and states all leases.
func newRenewer(t testing.TB, ctx context.Context, n *nsNode, w *hostileWorld) *renewer {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+n.GRPC, grpcFrom(n.Host)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stream, err := ingestv1.NewIngestClient(conn).Feed(ctx)
	if err != nil {
		t.Fatal(err)
	}
	hello := &ingestv1.Hello{Source: hostileSource, Epoch: uint64(time.Now().UnixNano())}
	if err := stream.Send(&ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Hello{Hello: hello}}); err != nil {
		t.Fatal(err)
	}
	f := &renewer{world: w, stream: stream}
	for f.at < w.links*w.clients {
		if err := f.send(min(1000, w.links*w.clients-f.at)); err != nil {
			t.Fatal(err)
		}
		for f.acked.Load() < f.sent { // one by one: it is the load of the test, not its subject
			if err := f.receive(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

func (f *renewer) send(count int) error {
	round := uint32(f.at/(f.world.links*f.world.clients)) + 1
	b, err := f.world.batch(f.sent+1, f.at, count, round)
	if err != nil {
		return err
	}
	f.sent++
	f.at += count
	return f.stream.Send(b)
}

func (f *renewer) receive() error {
	r, err := f.stream.Recv()
	if err != nil {
		return err
	}
	if r.GetRewind() != nil {
		return fmt.Errorf("the renewer is told to rewind: %v", r)
	}
	f.acked.Store(max(f.acked.Load(), r.GetAck().GetSequence()))
	return nil
}

// renew renews leases at so many a second until ctx ends. An error means that feeding broke.
func (f *renewer) renew(ctx context.Context, rate int) error {
	broken := make(chan error, 1)
	go func() {
		for {
			if err := f.receive(); err != nil {
				broken <- err
				return
			}
		}
	}()
	tick := time.NewTicker(feedStep)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case err := <-broken:
			return errors.Join(errors.New("feed renewals"), err)
		case <-ctx.Done():
			return nil
		}
		if f.sent-f.acked.Load() >= feedWindow {
			continue
		}
		count := rate / int(time.Second/feedStep)
		if err := f.send(count); err != nil {
			return fmt.Errorf("feed renewals: %w", err)
		}
		f.world.renewed.Add(int64(count))
	}
}
