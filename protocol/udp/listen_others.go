//go:build !linux

package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Elsewhere than on Linux there is one socket, and answers are not fragmented for the smallest link: enough to try things out.

// Listen opens the socket for an address.
func Listen(ctx context.Context, address netip.AddrPort, _ int, multicast []string) ([]*net.UDPConn, error) {
	if len(multicast) > 0 {
		return nil, errors.New("multicast is answered on Linux only")
	}
	c, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp6", address.String())
	if err != nil {
		return nil, fmt.Errorf("listen for leasequery over UDP: %w", err)
	}
	return []*net.UDPConn{c.(*net.UDPConn)}, nil
}

// OpenRaw is not to be had here: the error wraps errors.ErrUnsupported.
func OpenRaw(context.Context) (*net.IPConn, error) {
	return nil, fmt.Errorf("open a raw socket for fragments: %w", errors.ErrUnsupported)
}
