//go:build linux

package rpc

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// TestBothEndsNoticeASilentDeath: a client that only waits for a stream, and a server that only has one open, notice that the other
// end's host has gone without a word.
func TestBothEndsNoticeASilentDeath(t *testing.T) {
	lab := netlab.New(t)
	server, client := lab.Host("server"), lab.Host("client")
	l, err := server.Listen("tcp", server.AddrPort(5470))
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(nil, nil)
	closed := make(chan struct{})
	ctx, cancel := context.WithCancel(timeout(t))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, watchedListener{Listener: l, closed: closed}) }()
	conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), append(Vigilant(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return client.Dial(ctx, Dialer(), "tcp", addr)
		}))...)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := healthv1.NewHealthClient(conn).Watch(ctx, &healthv1.HealthCheckRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	lab.CutBoth(server, client)
	start := time.Now()
	if r, err := stream.Recv(); err == nil || ctx.Err() != nil {
		t.Errorf("the client received %v, %v; want that the connection is lost", r, err)
	}
	t.Logf("the client noticed after %v", time.Since(start).Round(10*time.Millisecond))
	select {
	case <-closed:
		t.Logf("the server noticed after %v", time.Since(start).Round(10*time.Millisecond))
	case <-ctx.Done():
		t.Error("the server has not noticed")
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("server ended: %v", err)
	}
}

// watchedListener tells when its first connection is closed by this side.
type watchedListener struct {
	net.Listener
	closed chan struct{}
}

func (l watchedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &watchedConn{TCPConn: c.(*net.TCPConn), closed: l.closed}, nil
}

type watchedConn struct {
	*net.TCPConn
	once   sync.Once
	closed chan struct{}
}

func (c *watchedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.TCPConn.Close()
}
