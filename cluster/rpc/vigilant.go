package rpc

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// How a client notices that a node is gone without a word. Its host, while octets are on their way to it or while it only is to
// send: pingTimeout (gRPC makes that TCP_USER_TIMEOUT, which bounds unanswered keepalive probes too). Its process alone, which is
// frozen while its kernel acknowledges: pingInterval and pingTimeout; gRPC allows clients no shorter interval than 10 s.
const (
	pingInterval      = 10 * time.Second
	pingTimeout       = 5 * time.Second
	keepAliveIdle     = 2 * time.Second
	keepAliveInterval = time.Second
	keepAliveCount    = 3
)

// How a server notices that a client is gone, host or process: an HTTP/2 ping after this long without a sign of life. Clients may
// send theirs twice as often as ours do.
const (
	serverPingInterval = 2 * time.Second
	minClientPing      = pingInterval / 2
)

// Dialer makes the connections of vigilant clients.
func Dialer() net.Dialer {
	return net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
	}}
}

// Vigilant is what every client of a node needs besides credentials: to notice in seconds that the node is gone.
func Vigilant() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingInterval, Timeout: pingTimeout}),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			d := Dialer()
			return d.DialContext(ctx, "tcp", addr)
		}),
	}
}
