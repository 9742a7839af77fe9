package requestor

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Keepalive of a requestor's connections: it only receives, so without probes it would never learn that its server is gone. A
// probe a second finds out at once that an address has moved: its new owner resets the connection. That nobody answers any more
// is decided by TCP_USER_TIMEOUT, and where there is none, by the number of probes.
const (
	keepAliveIdle     = time.Second
	keepAliveInterval = time.Second
	keepAliveCount    = 4
)

// Dialer is what makes the connections of a Config: with its timeout, receive buffer and TCP_USER_TIMEOUT, and with keepalive.
func (c Config) Dialer() net.Dialer {
	c = c.withDefaults()
	return net.Dialer{
		Timeout: c.DialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
		},
		ControlContext: control(c),
	}
}

// dial makes the connection that config wants.
func dial(ctx context.Context, server string, config Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, config.DialTimeout)
	defer cancel()
	if config.Dial != nil {
		return config.Dial(ctx, server)
	}
	d := config.Dialer()
	socket, err := d.DialContext(ctx, "tcp", server)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", server, err)
	}
	return socket, nil
}
