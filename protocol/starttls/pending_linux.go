package starttls

import "golang.org/x/sys/unix"

// unread is how many octets the kernel has for the socket.
func unread(fd uintptr) int {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	if err != nil {
		return 0
	}
	return n
}
