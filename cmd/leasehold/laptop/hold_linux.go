package laptop

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"syscall"
)

// hold holds a TCP port with a socket that is bound to it and does not listen. Who listens there, as Go does with SO_REUSEADDR, may still
// do so; nobody else is given the port, nor holds it as well.
func hold(a netip.AddrPort) (io.Closer, error) {
	family, to := syscall.AF_INET6, syscall.Sockaddr(&syscall.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()})
	if a.Addr().Is4() {
		family, to = syscall.AF_INET, &syscall.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	held := os.NewFile(uintptr(fd), "held port")
	err = syscall.Bind(fd, to)
	if err == nil { // only now: two who both want it from the beginning could both have it
		err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	}
	if err != nil {
		_ = held.Close()
		return nil, fmt.Errorf("hold port %v: %w", a, err)
	}
	return held, nil
}
