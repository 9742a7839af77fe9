//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// handed is the address that changes hands.
var handed = netip.MustParseAddr("2001:db8:9::1")

// startAll runs each function on a goroutine; the function that it returns ends and awaits them.
func startAll(t *testing.T, ctx context.Context, run ...func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, f := range run {
		running.Go(func() { f(ctx) })
	}
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// partitionWriter gives the address to one client after the other and notes when that was acknowledged. A version is the number
// of its batch, and is sent until it is acknowledged: so they come into force in their order.
type partitionWriter struct {
	nodes []*nsNode // to write through; set while it does not run
	dial  []grpc.DialOption
	epoch uint64

	mu    sync.Mutex
	acked []time.Time // by version; the first is 1
}

func newPartitionWriter(h *netlab.Host) *partitionWriter {
	return &partitionWriter{dial: grpcFrom(h), epoch: 1, acked: make([]time.Time, 1)}
}

func (w *partitionWriter) run(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		// It is broken off by an election, or by the end: then the next one takes over.
		_ = w.session(ctx, w.nodes[i%len(w.nodes)])
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// session writes version after version.
func (w *partitionWriter) session(ctx context.Context, n *nsNode) error {
	conn, err := grpc.NewClient("passthrough:///"+n.GRPC, w.dial...)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	giveUp := time.AfterFunc(2*time.Second, cancel)
	defer giveUp.Stop()
	stream, err := ingestv1.NewIngestClient(conn).Feed(ctx)
	if err != nil {
		return err
	}
	hello := &ingestv1.Hello{Source: "handing", Epoch: w.epoch}
	if err := stream.Send(&ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Hello{Hello: hello}}); err != nil {
		return err
	}
	r, err := stream.Recv()
	if err != nil {
		return err
	}
	for applied := r.GetWelcome().GetAppliedSequence(); ; applied = r.GetAck().GetSequence() {
		giveUp.Reset(2 * time.Second)
		if err := stream.Send(handTo(w.acknowledged(applied))); err != nil {
			return err
		}
		if r, err = stream.Recv(); err != nil {
			return err
		}
		if r.GetAck() == nil {
			return fmt.Errorf("answered %v, want an acknowledgement", r)
		}
	}
}

// acknowledged notes that this version and all before it are in force, and returns the next one.
func (w *partitionWriter) acknowledged(version uint64) (next uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for uint64(len(w.acked)) <= version {
		w.acked = append(w.acked, time.Now())
	}
	return uint64(len(w.acked))
}

// handTo is a batch that gives the address to the client of a version.
func handTo(version uint64) *ingestv1.FeedRequest {
	address := handed.As16()
	lease := &ingestv1.Lease{Kind: ingestv1.Kind_KIND_NA, Address: address[:], Iaid: 1, Preferred: 86400, Valid: 86400,
		Duid: binary.BigEndian.AppendUint32([]byte{0, 3, 0, 1, 9}, uint32(version))}
	return &ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Batch{Batch: &ingestv1.Batch{Sequence: version,
		Content: &ingestv1.Batch_Changes{Changes: &ingestv1.Changes{Changes: []*ingestv1.Change{{Change: &ingestv1.Change_Upsert{Upsert: lease}}}}}}}}
}

// superseded is when the next version was acknowledged: from then on this one was the past.
func (w *partitionWriter) superseded(version uint32) (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if int(version)+1 < len(w.acked) {
		return w.acked[version+1], true
	}
	return time.Time{}, false
}

// written is when a version was acknowledged.
func (w *partitionWriter) written(version uint32) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if int(version) < len(w.acked) {
		return w.acked[version]
	}
	return time.Time{}
}
