package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/leasehold/leasehold/cluster"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// forward passes a session on to the leader, and its answers back.
func (s *Service) forward(ctx context.Context, stream ingestv1.Ingest_FeedServer, hello *ingestv1.Hello, leader string) error {
	conn, err := s.dialer.Conn(leader)
	if err != nil {
		return fmt.Errorf("pass the session on to %s: %w: %w", leader, cluster.ErrNoLeader, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	up, err := ingestv1.NewIngestClient(conn).Feed(ctx)
	if err != nil {
		return fmt.Errorf("pass the session on to %s: %w", leader, err)
	}
	greeting := &ingestv1.Hello{Source: hello.GetSource(), Epoch: hello.GetEpoch(), Forwarded: true}
	if err := up.Send(&ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Hello{Hello: greeting}}); err != nil {
		_, err = up.Recv() // a broken stream tells its reason here
		return fmt.Errorf("pass the session on to %s: %w", leader, err)
	}
	s.metrics.forwarded.Inc()
	// The receiving half of the feeder's stream ends with the call, so its goroutine may outlive this function by a moment.
	go func() { cancel(passUp(stream, up)) }()
	return passDown(ctx, up, stream)
}

// passUp hands the feeder's batches to the leader; nil when the feeder has closed its side. A batch is read as a message of which
// no field is known: its octets go on as they came, and the leader checks them.
func passUp(stream ingestv1.Ingest_FeedServer, up ingestv1.Ingest_FeedClient) error {
	for {
		batch := new(emptypb.Empty)
		err := stream.RecvMsg(batch)
		if errors.Is(err, io.EOF) {
			if err := up.CloseSend(); err != nil {
				return fmt.Errorf("close the session passed on: %w", err)
			}
			<-up.Context().Done()
			return nil
		}
		if err != nil {
			return err
		}
		if err := up.SendMsg(batch); err != nil {
			if errors.Is(err, io.EOF) {
				<-up.Context().Done() // its reason is what passDown receives
				return nil
			}
			return fmt.Errorf("pass a batch on: %w", err)
		}
	}
}

// passDown hands the leader's answers to the feeder until the session ends.
func passDown(ctx context.Context, up ingestv1.Ingest_FeedClient, stream ingestv1.Ingest_FeedServer) error {
	for {
		r, err := up.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && ctx.Err() != nil && context.Cause(ctx) != context.Canceled:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
		if err := stream.Send(r); err != nil {
			return err
		}
	}
}
