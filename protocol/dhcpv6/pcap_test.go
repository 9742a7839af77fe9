package dhcpv6

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
)

// datagram is the payload of one UDP datagram or TCP segment of a capture.
type datagram struct {
	protocol byte // udp or tcp
	from, to netip.AddrPort
	sequence uint32 // TCP
	syn      bool   // TCP
	payload  []byte
}

const (
	udp = 17
	tcp = 6
)

// readCapture reads a classic pcap file, little endian, of Ethernet frames with IPv6 packets without extension headers.
func readCapture(t testing.TB, path string) []datagram {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read the capture: %v", err)
	}
	le := binary.LittleEndian
	if len(b) < 24 || le.Uint32(b) != 0xa1b2c3d4 || le.Uint32(b[20:]) != 1 {
		t.Fatalf("%s is no pcap file of Ethernet frames", path)
	}
	var out []datagram
	for b = b[24:]; len(b) > 0; {
		if len(b) < 16 || len(b) < 16+int(le.Uint32(b[8:])) || le.Uint32(b[8:]) != le.Uint32(b[12:]) {
			t.Fatalf("%s: packet %d is cut short", path, len(out)+1)
		}
		n := int(le.Uint32(b[8:]))
		d, err := readPacket(b[16 : 16+n])
		if err != nil {
			t.Fatalf("%s: packet %d: %v", path, len(out)+1, err)
		}
		out, b = append(out, d), b[16+n:]
	}
	return out
}

// readPacket takes an Ethernet frame apart.
func readPacket(b []byte) (datagram, error) {
	be := binary.BigEndian
	const ethernet, ipv6 = 14, 40
	if len(b) < ethernet+ipv6+8 || be.Uint16(b[12:]) != 0x86dd {
		return datagram{}, fmt.Errorf("%d octets are no IPv6 packet", len(b))
	}
	ip := b[ethernet:]
	size := int(be.Uint16(ip[4:]))
	if len(ip) < ipv6+size || size < 8 {
		return datagram{}, fmt.Errorf("IPv6 payload of %d octets", size)
	}
	p := ip[ipv6 : ipv6+size]
	d := datagram{
		protocol: ip[6],
		from:     netip.AddrPortFrom(netip.AddrFrom16([16]byte(ip[8:])), be.Uint16(p)),
		to:       netip.AddrPortFrom(netip.AddrFrom16([16]byte(ip[24:])), be.Uint16(p[2:])),
	}
	header := 8
	switch {
	case d.protocol == tcp && size >= 20:
		header = int(p[12]>>4) * 4
		d.sequence, d.syn = be.Uint32(p[4:]), p[13]&2 != 0
	case d.protocol == udp && int(be.Uint16(p[4:])) == size:
	default:
		return datagram{}, fmt.Errorf("protocol %d with %d octets", d.protocol, size)
	}
	if len(p) < header {
		return datagram{}, fmt.Errorf("header of %d octets in %d", header, size)
	}
	d.payload = p[header:]
	return d, nil
}

// direction is one half of a TCP connection.
type direction struct{ from, to netip.AddrPort }

// reassemble puts the segments of each direction in order, and fails where octets are missing.
func reassemble(t testing.TB, segments []datagram) (order []direction, streams map[direction][]byte) {
	t.Helper()
	first := map[direction]uint32{}
	byDirection := map[direction][]datagram{}
	for _, s := range segments {
		d := direction{s.from, s.to}
		if s.syn {
			if _, again := first[d]; again {
				t.Fatalf("%v to %v: a second connection with the same ports", s.from, s.to)
			}
			first[d] = s.sequence + 1
			order = append(order, d)
		}
		byDirection[d] = append(byDirection[d], s)
	}
	streams = map[direction][]byte{}
	for d, all := range byDirection {
		base, ok := first[d]
		if !ok {
			t.Fatalf("%v to %v: no SYN", d.from, d.to)
		}
		slices.SortStableFunc(all, func(a, b datagram) int { return cmp.Compare(a.sequence-base+1, b.sequence-base+1) }) // the SYN's is 0
		var stream []byte
		for _, s := range all {
			at := int(s.sequence - base)
			if len(s.payload) == 0 || at+len(s.payload) <= len(stream) {
				continue
			}
			if at > len(stream) {
				t.Fatalf("%v to %v: octets %d to %d are missing", d.from, d.to, len(stream), at)
			}
			stream = append(stream, s.payload[len(stream)-at:]...)
		}
		streams[d] = stream
	}
	return order, streams
}
