package udp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// sniffer reads the IPv6 packets that pass an interface of a lab's host.
type sniffer struct {
	t    testing.TB
	file *os.File
	seen [][]byte // every packet read so far, from its IPv6 header on
}

func sniff(t testing.TB, h *netlab.Host, iface string) *sniffer {
	t.Helper()
	s := &sniffer{t: t}
	err := h.Do(func() error {
		i, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		const all = unix.ETH_P_ALL << 8 // in the network's order: any protocol's, or what leaves is not seen
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, all)
		if err != nil {
			return err
		}
		s.file = os.NewFile(uintptr(fd), "packets of "+iface)
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index})
	})
	if err != nil {
		t.Fatalf("read the packets of %s: %v", iface, err)
	}
	t.Cleanup(func() { _ = s.file.Close() }) // a reader's failure would have told
	return s
}

// packet reads on until a packet has passed that want accepts, and returns it.
func (s *sniffer) packet(want func(packet []byte) bool) []byte {
	s.t.Helper()
	if err := s.file.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	for {
		b := make([]byte, 70_000)
		n, err := s.file.Read(b)
		if err != nil {
			s.t.Fatalf("read packets: %v", err)
		}
		if b = b[:n]; n < 40+8 || b[0]>>4 != 6 {
			continue
		}
		if b[6] == unix.IPPROTO_UDP || b[6] == unix.IPPROTO_FRAGMENT {
			s.seen = append(s.seen, b)
		}
		if want(b) {
			return b
		}
	}
}

// udp reads on until a UDP datagram, or a fragment of one, has passed that want accepts, and returns its packet.
func (s *sniffer) udp(want func(from, to netip.Addr, payload []byte) bool) []byte {
	s.t.Helper()
	return s.packet(func(b []byte) bool {
		return (b[6] == unix.IPPROTO_UDP || b[6] == unix.IPPROTO_FRAGMENT) &&
			want(netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[40:])
	})
}

// drain reads what has passed, up to now.
func (s *sniffer) drain() {
	s.t.Helper()
	b := make([]byte, 70_000)
	for {
		if err := s.file.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			s.t.Fatal(err)
		}
		n, err := s.file.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			s.t.Fatal(err)
		}
		if n >= 40+8 && b[0]>>4 == 6 && (b[6] == unix.IPPROTO_UDP || b[6] == unix.IPPROTO_FRAGMENT) {
			s.seen = append(s.seen, slices.Clone(b[:n]))
		}
	}
}

// write makes a pcap file of everything seen.
func (s *sniffer) write(path string) {
	s.t.Helper()
	const rawIP = 101
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = le.AppendUint16(le.AppendUint16(b, 2), 4)
	b = le.AppendUint32(le.AppendUint64(b, 0), 1<<18)
	b = le.AppendUint32(b, rawIP)
	for i, p := range s.seen {
		b = le.AppendUint32(le.AppendUint32(b, uint32(1772366400+i)), 0)
		b = le.AppendUint32(le.AppendUint32(b, uint32(len(p))), uint32(len(p)))
		b = append(b, p...)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}
