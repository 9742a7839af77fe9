package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// errSilent is why a node is left that owes an answer.
var errSilent = errors.New("no answer in time")

// session is one stream to one node: it sends what the window gives and takes the answers.
type session struct {
	config Config
	window *window
	agent  *Agent
	epoch  uint64
	now    func() time.Time
	stream grpc.ClientStream
	watch  *watchdog
	node   string // the address

	welcomed bool // whether the node took the session
	reports  bool // whether reports are taken
	acked    bool // whether it acknowledged anything, by its welcome or later
}

// run feeds the node at the address until everything is acknowledged (nil) or the stream breaks. The error is a gRPC status, or
// wraps errEpochLost, errProtocol or errSilent.
func (s *session) run(ctx context.Context, address string) error {
	conn, err := grpc.NewClient(address, append([]grpc.DialOption{grpc.WithDisableRetry()}, s.config.DialOptions...)...)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s.watch = newWatchdog(s.config.AnswerTimeout, s.window.owed, func() { cancel(errSilent) })
	defer s.watch.stop()
	err = s.feed(ctx, cancel, conn)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errSilent) {
		err = cause
	}
	cancel(nil)
	if errClose := conn.Close(); err == nil && errClose != nil {
		return fmt.Errorf("close the connection to %s: %w", address, errClose)
	}
	if err != nil {
		return fmt.Errorf("feed %s: %w", address, err)
	}
	return nil
}

// feed runs the stream: hello, welcome, then batches one way and answers the other.
func (s *session) feed(ctx context.Context, cancel context.CancelCauseFunc, conn *grpc.ClientConn) error {
	var err error
	s.stream, err = conn.NewStream(ctx, &ingestv1.Ingest_ServiceDesc.Streams[0], ingestv1.Ingest_Feed_FullMethodName, grpc.ForceCodecV2(newCodec()))
	if err != nil {
		return err
	}
	if err := s.welcome(); err != nil {
		return err
	}
	answered := make(chan error, 1)
	go func() {
		err := s.receive()
		if err != nil {
			cancel(err) // a send that waits for room on the stream returns
		}
		answered <- err
	}()
	errSend := s.send(ctx, answered)
	if errSend != nil && !errors.Is(errSend, io.EOF) {
		cancel(errSend)
	}
	errReceive := <-answered
	if errSend == nil {
		return nil // everything is acknowledged, however the node ends the stream
	}
	return errReceive // a failed send only says that the stream is over
}

// welcome says hello and takes the welcome.
func (s *session) welcome() error {
	hello := &ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Hello{
		Hello: &ingestv1.Hello{Source: s.config.Source, Epoch: s.epoch},
	}}
	if err := s.stream.SendMsg(hello); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	answer := new(ingestv1.FeedResponse)
	if err := s.stream.RecvMsg(answer); err != nil {
		return err
	}
	welcome := answer.GetWelcome()
	if welcome == nil {
		return fmt.Errorf("first answer is %T, not a welcome: %w", answer.GetResponse(), errProtocol)
	}
	done, err := s.window.resume(welcome.GetAppliedSequence(), int(welcome.GetMaxBytesInFlight()))
	if err != nil {
		return err
	}
	s.welcomed, s.reports = true, welcome.GetTakesReports()
	s.agent.standing.connected(s.node)
	s.agent.ledger.add(func(t *Totals) { t.Sessions++ })
	s.acked = done != tally{}
	s.book(done, nil)
	if s.acked || s.window.idle() {
		s.agent.outage.over(s.agent.log(), s.node, s.window, s.now())
	}
	s.watch.look()
	return nil
}

// book enters what was acknowledged.
func (s *session) book(done tally, ack *ingestv1.Ack) {
	s.agent.ledger.acknowledge(done, ack)
	s.agent.standing.acknowledged(done, s.now())
	if done.leases > 0 {
		s.config.Progress.Add(int64(done.leases))
	}
}

// send sends what the window gives until all is acknowledged, and then closes the sending side. answered is read only to know
// that the receiver has ended: its error is put back.
func (s *session) send(ctx context.Context, answered chan error) error {
	signal(s.agent.standing.due)
	for {
		if err := s.report(); err != nil {
			return err
		}
		b, sequence := s.window.take()
		if b == nil {
			if s.window.done() {
				return s.bye()
			}
			select {
			case <-s.window.ready:
				continue
			case <-s.agent.standing.due:
				signal(s.agent.standing.due)
				continue
			case err := <-answered:
				answered <- err
				return io.EOF
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if s.window.inFlight() <= 1 {
			s.watch.look()
		}
		r := &request{header: b.appendHeader(make([]byte, 0, 32), sequence, s.now()), body: b.body}
		octets := uint64(len(r.header) + r.body.Len())
		// Counted before it goes: its acknowledgement may be counted before SendMsg returns.
		s.agent.ledger.add(func(t *Totals) { t.Batches++; t.Octets += octets })
		err := s.stream.SendMsg(r)
		b.body.Free()
		if err != nil {
			return err
		}
	}
}

// bye closes the sending side, behind a last report. A stream that is broken says so when it is received from.
func (s *session) bye() error {
	s.watch.look()
	signal(s.agent.standing.due)
	if err := s.report(); err != nil {
		return err
	}
	return s.stream.CloseSend()
}

// report sends a report if one is due.
func (s *session) report() error {
	select {
	case <-s.agent.standing.due:
	default:
		return nil
	}
	if !s.reports {
		return nil
	}
	return s.stream.SendMsg(&ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Report{Report: s.agent.report()}})
}

// receive takes answers until the stream ends. It is nil when it ended because everything is acknowledged.
func (s *session) receive() error {
	answer := new(ingestv1.FeedResponse)
	for {
		proto.Reset(answer)
		switch err := s.stream.RecvMsg(answer); {
		case errors.Is(err, io.EOF) && s.window.done():
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the node ended the stream: %w", io.ErrUnexpectedEOF)
		case err != nil:
			return err
		}
		if err := s.take(answer); err != nil {
			return err
		}
		s.watch.look()
	}
}

// take acts on one answer.
func (s *session) take(answer *ingestv1.FeedResponse) error {
	switch r := answer.GetResponse().(type) {
	case *ingestv1.FeedResponse_Ack:
		done, err := s.window.acknowledge(r.Ack.GetSequence())
		if err != nil {
			return err
		}
		if !s.acked {
			s.agent.outage.over(s.agent.log(), s.node, s.window, s.now())
		}
		s.acked = true
		s.book(done, r.Ack)
	case *ingestv1.FeedResponse_Rewind:
		s.agent.ledger.add(func(t *Totals) { t.Rewinds++ })
		return s.window.rewind(r.Rewind.GetNextSequence())
	default:
		return fmt.Errorf("unexpected answer %T: %w", r, errProtocol)
	}
	return nil
}
