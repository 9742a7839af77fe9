package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
)

// Limits of the server.
const (
	maxMessage   = 4 << 20         // octets of one message
	maxStreams   = 256             // calls at once on one connection
	stopGrace    = 5 * time.Second // for calls to end once the server stops
	callTime     = 2 * time.Minute // for a call with one answer
	streamWindow = 1 << 20         // octets that a peer may send on one stream before they are read
	connWindow   = 4 << 20         // octets that a peer may send on one connection before they are read
	headerList   = 16 << 10        // octets of the headers of a call
)

// Server serves gRPC. Make one with NewServer, register services with it, then Run it.
type Server struct {
	*grpc.Server
	health  *health.Server
	log     *slog.Logger
	metrics *Metrics
	ready   chan struct{}
	ending  context.Context // ends when Run does
	end     context.CancelFunc
}

// NewServer is a server with the health and reflection services. The health service says NOT_SERVING until SetServing. It starts
// nothing. A nil logger discards, nil metrics are counted for nobody.
func NewServer(log *slog.Logger, metrics *Metrics) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if metrics == nil {
		metrics = NewMetrics(nil)
	}
	s := &Server{log: log, metrics: metrics, health: health.NewServer(), ready: make(chan struct{})}
	s.ending, s.end = context.WithCancel(context.Background())
	s.Server = grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxConcurrentStreams(maxStreams), grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: serverPingInterval, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minClientPing, PermitWithoutStream: true}),
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connWindow), grpc.MaxHeaderListSize(headerList),
		grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream),
	)
	healthv1.RegisterHealthServer(s.Server, s.health)
	reflection.RegisterV1(s.Server)
	s.SetServing(false)
	return s
}

// Ready is closed once Run serves.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// SetServing tells the health service whether the node may be asked by relays.
func (s *Server) SetServing(serving bool) {
	state := healthv1.HealthCheckResponse_NOT_SERVING
	if serving {
		state = healthv1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", state)
}

// Run serves on the listener, which it closes, until ctx ends; calls that run then have a moment to end. It returns nil when ctx
// ended it.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	defer s.end()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	close(s.ready)
	select {
	case err := <-served:
		s.Stop()
		return fmt.Errorf("serve gRPC on %v: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.health.Shutdown()
	s.end()
	stopped := make(chan struct{})
	go func() {
		s.GracefulStop()
		close(stopped)
	}()
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-stopped:
	case <-timer.C:
		s.Stop()
		<-stopped
	}
	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve gRPC on %v: %w", l.Addr(), err)
	}
	return nil
}

// unary runs a call with one answer, which ends in time even if its caller set no deadline.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	defer s.metrics.begin()()
	out, err := next(ctx, req)
	return out, s.outcome(info.FullMethod, err)
}

func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	defer s.metrics.begin()()
	if info.FullMethod == healthv1.Health_Watch_FullMethodName {
		// It has no end of its own, and a server that stops waits for every call.
		ctx, cancel := context.WithCancel(stream.Context())
		defer cancel()
		defer context.AfterFunc(s.ending, cancel)()
		stream = endingStream{stream, ctx}
	}
	return s.outcome(info.FullMethod, next(srv, stream))
}

// endingStream is a stream with another context.
type endingStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context is the other one.
func (s endingStream) Context() context.Context { return s.ctx }

// outcome maps a call's error, counts it and logs the ones that are this node's fault: here and nowhere else.
func (s *Server) outcome(method string, err error) error {
	err = ToStatus(err)
	code := status.Code(err)
	s.metrics.ended(method, code)
	if code == codes.Internal || code == codes.Unknown {
		s.log.Error("gRPC call failed", "method", method, "error", err)
	}
	return err
}
