package udp

import (
	"encoding/binary"
	"net/netip"
)

const (
	// minMTU is what every link of IPv6 carries (RFC 8200 5). A server knows nothing of the way to a relay, and Linux has no
	// IPV6_USE_MIN_MTU (RFC 3542 11.1): with IPV6_MTU it only cuts what is larger than the MTU of its own link. So larger packets
	// are cut here, where a raw socket is to be had.
	minMTU = 1280

	ipv6Header     = 40
	fragmentHeader = 8
	udpHeader      = 8
	nextUDP        = 17
	nextFragment   = 44
	hopLimit       = 64
	// fragmentRoom is what one fragment carries: a multiple of 8 octets.
	fragmentRoom = (minMTU - ipv6Header - fragmentHeader) &^ 7
)

// tooLarge tells whether a message makes a packet that is larger than the smallest MTU.
func tooLarge(message []byte) bool { return ipv6Header+udpHeader+len(message) > minMTU }

// appendFragments appends the packets of a UDP datagram in fragments (RFC 8200 4.5), one behind the other: each is of minMTU octets
// at most, and all but the last of the same size, which it returns.
//
//	IPv6 header      version 6, payload length, next header 44, hop limit, source, destination
//	fragment header  next header 17, offset in units of 8 octets, whether more follow, identification
//	UDP              source and destination port, length, checksum (in the first); message
func appendFragments(dst []byte, message []byte, from, to netip.AddrPort, identification uint32) (out []byte, size int) {
	var head [udpHeader]byte
	be := binary.BigEndian
	be.PutUint16(head[0:], from.Port())
	be.PutUint16(head[2:], to.Port())
	be.PutUint16(head[4:], uint16(udpHeader+len(message)))
	be.PutUint16(head[6:], udpChecksum(head[:], message, from.Addr(), to.Addr()))
	source, destination := from.Addr().As16(), to.Addr().As16()
	left := udpHeader + len(message)
	for offset := 0; left > 0; {
		n := min(left, fragmentRoom)
		left -= n
		dst = append(dst, 6<<4, 0, 0, 0)
		dst = be.AppendUint16(dst, uint16(fragmentHeader+n))
		dst = append(dst, nextFragment, hopLimit)
		dst = append(append(dst, source[:]...), destination[:]...)
		place := uint16(offset) // its lower three bits are free
		if left > 0 {
			place |= 1
		}
		dst = be.AppendUint16(append(dst, nextUDP, 0), place)
		dst = be.AppendUint32(dst, identification)
		body := n
		if offset == 0 {
			dst = append(dst, head[:]...)
			body -= udpHeader
		}
		dst = append(dst, message[:body]...)
		message = message[body:]
		offset += n
	}
	return dst, ipv6Header + fragmentHeader + fragmentRoom
}

// udpChecksum is the checksum of a UDP datagram over IPv6 (RFC 8200 8.1), whose header has none yet.
func udpChecksum(header, message []byte, from, to netip.Addr) uint16 {
	source, destination := from.As16(), to.As16()
	sum := uint32(len(header)+len(message)) + nextUDP // no length is of more than 16 bits
	for _, part := range [][]byte{source[:], destination[:], header, message} {
		for ; len(part) >= 2; part = part[2:] {
			sum += uint32(binary.BigEndian.Uint16(part))
		}
		if len(part) == 1 { // only the last part is odd
			sum += uint32(part[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if sum == 0xffff { // its complement would mean that there is none
		return 0xffff
	}
	return ^uint16(sum)
}
