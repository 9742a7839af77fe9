package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/leasehold/leasehold/cluster"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// forward passes a session on to the leader, and its answers back.
func (s *Service) forward(ctx context.Context, stream ingestv1.Ingest_FeedServer, hello *ingestv1.Hello, leader string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	up, welcome, err := s.greet(ctx, hello, leader)
	if err != nil {
		return fmt.Errorf("pass the session on to %s: %w", leader, err)
	}
	if err := stream.Send(welcome); err != nil {
		return err
	}
	s.metrics.forwarded.Inc()
	// The receiving half of the feeder's stream ends with the call, so its goroutine may outlive this function by a moment.
	go func() { cancel(passUp(stream, up)) }()
	return passDown(ctx, up, stream)
}

// greet begins the session with the leader and takes its welcome. A leader that cannot take it, or that can't be reached, leaves
// it unwelcomed; one that refuses it does not.
func (s *Service) greet(ctx context.Context, hello *ingestv1.Hello, leader string) (ingestv1.Ingest_FeedClient, *ingestv1.FeedResponse, error) {
	conn, err := s.dialer.Conn(leader)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", cluster.ErrNoLeader, err)
	}
	up, err := ingestv1.NewIngestClient(conn).Feed(ctx)
	if err == nil {
		greeting := &ingestv1.Hello{Source: hello.GetSource(), Epoch: hello.GetEpoch(), Forwarded: true}
		// A broken stream tells its reason when it is received from.
		_ = up.Send(&ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Hello{Hello: greeting}})
		var welcome *ingestv1.FeedResponse
		if welcome, err = up.Recv(); err == nil {
			return up, welcome, nil
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil, unwelcomed{fmt.Errorf("%w: it ended the session", cluster.ErrNotLeader)}
	case ctx.Err() != nil: // another leads by now, or the feeder is gone
		return nil, nil, unwelcomed{context.Cause(ctx)}
	case status.Code(err) == codes.Unavailable:
		return nil, nil, unwelcomed{err}
	}
	return nil, nil, err
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
