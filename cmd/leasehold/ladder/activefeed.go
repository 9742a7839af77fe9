package ladder

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// feedPaced feeds new leases at a steady pace and notes when each batch was acknowledged.
func (m *climb) feedPaced(ctx context.Context, begin time.Time, acknowledged []atomic.Int64) error {
	conn, err := grpc.NewClient(m.cluster.GRPC()[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("feed at a steady pace: %w", err)
	}
	defer conn.Close()
	stream, err := ingestv1.NewIngestClient(conn).Feed(ctx)
	if err != nil {
		return fmt.Errorf("feed at a steady pace: %w", err)
	}
	hello := &ingestv1.Hello{Source: "ladder-active", Epoch: uint64(begin.UnixNano())}
	if err := stream.Send(&ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Hello{Hello: hello}}); err != nil {
		return fmt.Errorf("feed at a steady pace: %w", err)
	}
	sent := make(chan error, 1)
	go func() { sent <- sendPaced(ctx, stream) }()
	for done := 0; done < len(acknowledged); {
		r, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("feed at a steady pace, %d batches acknowledged: %w", done, err)
		}
		for at := time.Since(begin); uint64(done) < r.GetAck().GetSequence(); done++ {
			acknowledged[done].Store(int64(at))
		}
	}
	return <-sent
}

func sendPaced(ctx context.Context, stream ingestv1.Ingest_FeedClient) error {
	tick := time.NewTicker(activePace)
	defer tick.Stop()
	for i := range activeBatches {
		batch, err := activeChanges(uint32(i))
		if err != nil {
			return err
		}
		if err := stream.Send(batch); err != nil {
			return fmt.Errorf("send batch %d: %w", i+1, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return stream.CloseSend()
}

// activeChanges is a batch of new leases, of relays in turn. Each client's DUID ends with the number of its batch.
func activeChanges(batch uint32) (*ingestv1.FeedRequest, error) {
	var changes []*ingestv1.Change
	link := [16]byte{0x20, 1, 0xd, 0xb8, activeLink >> 8, activeLink & 0xff, 0, 0}
	for i := range uint32(activeBatch) {
		number := batch*activeBatch + i
		address := link
		binary.BigEndian.PutUint32(address[12:], number+1)
		options, err := dhcpv6.RelayID(activeRelayID(int(number % activeRelays))).AppendBinary(nil)
		if err != nil {
			return nil, err
		}
		l := &ingestv1.Lease{
			Address: address[:], Duid: binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{0, 3, 0, 1}, i), batch), Iaid: 1,
			Preferred: 43200, Valid: 86400, Stamp: number, Relays: []*ingestv1.RelayLevel{{LinkAddress: link[:], Options: options}},
		}
		changes = append(changes, &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: l}})
	}
	return &ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Batch{Batch: &ingestv1.Batch{
		Sequence: uint64(batch) + 1, Content: &ingestv1.Batch_Changes{Changes: &ingestv1.Changes{Changes: changes}}}}}, nil
}
