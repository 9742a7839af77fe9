//go:build !linux

package laptop

import (
	"io"
	"net"
	"net/netip"
)

// nothing is held.
type nothing struct{}

func (nothing) Close() error { return nil }

// hold looks whether a TCP port is free. Only Linux lets others listen on a port that is held.
func hold(a netip.AddrPort) (io.Closer, error) {
	l, err := net.Listen("tcp", a.String())
	if err != nil {
		return nil, err
	}
	return nothing{}, l.Close()
}
