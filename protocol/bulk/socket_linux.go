package bulk

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// tuneSystem sets the option that Linux has: TCP_NOTSENT_LOWAT bounds how many unsent octets wait in the kernel.
func tuneSystem(tc *net.TCPConn, unsent int) error {
	var failed error
	err := control(tc, func(fd int) {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent); err != nil {
			failed = fmt.Errorf("set TCP_NOTSENT_LOWAT: %w", err)
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// unanswered tells whether the peer has acknowledged nothing at all for so long, though octets were sent to it and sent again, or
// its window is closed and it was asked twice whether it has opened. A peer that is there acknowledges each of these probes.
func unanswered(tc *net.TCPConn, timeout time.Duration) bool {
	var info *unix.TCPInfo
	var failed error
	err := control(tc, func(fd int) { info, failed = unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err != nil || failed != nil {
		return false // the socket is closed: whoever did it has seen to the rest
	}
	sentAgain := info.Unacked > 0 && info.Retransmits > 0
	probed := info.Notsent_bytes > 0 && info.Probes > 1 // without octets that wait these are keepalive's, which has its own end
	return (sentAgain || probed) && time.Duration(info.Last_ack_recv)*time.Millisecond >= timeout
}

// control calls f with the socket's descriptor.
func control(tc *net.TCPConn, f func(fd int)) error {
	raw, err := tc.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
	if err != nil {
		return fmt.Errorf("reach the socket: %w", err)
	}
	return nil
}
