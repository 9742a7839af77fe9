package requestor

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Keepalive of a requestor's connections: it only receives, so without probes it would never learn that its server is gone.
const (
	keepAliveIdle     = 10 * time.Second
	keepAliveInterval = 5 * time.Second
	keepAliveCount    = 4
)

// dial makes the connection that config wants.
func dial(ctx context.Context, server string, config Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, config.DialTimeout)
	defer cancel()
	if config.Dial != nil {
		return config.Dial(ctx, server)
	}
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
		},
		ControlContext: control(config),
	}
	socket, err := d.DialContext(ctx, "tcp", server)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", server, err)
	}
	return socket, nil
}
