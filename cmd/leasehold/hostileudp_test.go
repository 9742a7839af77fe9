//go:build linux

package main

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// udpAttacks are those by datagrams.
func udpAttacks() []attack {
	return []attack{
		{"datagrams of strangers, made up", 1, func(e *enemy) { e.spoof(strangersNet, e.datagram) }},
		{"datagrams of members, made up", 1, func(e *enemy) { e.spoof(membersNet, e.datagram) }},
		{"relayed garbage from members", 1, func(e *enemy) { e.spoof(membersNet, e.garbageRelayed) }},
		{"one address that asks without end", 1, (*enemy).exhaust},
	}
}

// spoofed is how many datagrams a strike sends.
const spoofed = 200

// spoof sends datagrams that say that they come from anywhere in a network.
func (e *enemy) spoof(network string, draw func() []byte) {
	to := netip.AddrPortFrom(e.lab.node.Host.Addr, 547)
	for range spoofed {
		from := netip.AddrPortFrom(e.somewhere(network), uint16(1024+e.rng.IntN(60000)))
		message := draw()
		packet := udpPacket(message[:min(len(message), 1400)], from, to)
		// What the kernel does not take is lost, as on any wire.
		_ = unix.Sendto(e.raw, packet, 0, &unix.SockaddrInet6{Addr: to.Addr().As16()})
	}
}

// datagram is a good query, mostly; else a broken one, or random octets.
func (e *enemy) datagram() []byte {
	switch e.rng.IntN(4) {
	case 0:
		return e.mutate.broken()
	case 1:
		return e.random(e.rng.IntN(300))
	}
	return e.query(e.rng.IntN(1<<24), false)[2:]
}

// garbageRelayed is a relay message with something wrong: in it, in what it carries, or by how many there are one in another.
func (e *enemy) garbageRelayed() []byte {
	inner := e.mutate.message()
	switch e.rng.IntN(4) {
	case 0:
		return e.nest(e.query(1, false)[2:], 34+e.rng.IntN(5))
	case 1:
		return e.mutate.mutate(e.mutate.relayed(e.mutate.relayed(inner)))
	case 2:
		return dhcpv6.AppendRelayHeader(nil, dhcpv6.MessageRelayForward, 0, e.lab.world.link(0), netip.MustParseAddr("fe80::1"))
	}
	return e.mutate.relayed(e.mutate.broken())
}

// exhaust sends far more from one address than udp.rate allows.
func (e *enemy) exhaust() {
	c, err := e.lab.bad.Dial(e.ctx, net.Dialer{}, "udp6", e.lab.node.Leasequery)
	if err != nil {
		return
	}
	defer c.Close()
	for id := range 5000 {
		if e.ctx.Err() != nil {
			return
		}
		// It may be refused while the node's answers find nobody.
		_, _ = c.Write(e.query(id, false)[2:])
	}
}

// udpPacket is a UDP datagram with its IPv6 header (RFC 8200 3, RFC 768).
func udpPacket(message []byte, from, to netip.AddrPort) []byte {
	source, destination := from.Addr().As16(), to.Addr().As16()
	length := 8 + len(message)
	b := append([]byte{6 << 4, 0, 0, 0, byte(length >> 8), byte(length), unix.IPPROTO_UDP, 64}, source[:]...)
	b = append(b, destination[:]...)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = append(append(b, 0, 0), message...)
	sum := uint32(length) + unix.IPPROTO_UDP
	for i := 8; i < len(b); i += 2 {
		if i+1 == len(b) {
			sum += uint32(b[i]) << 8
			break
		}
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if sum = ^sum & 0xffff; sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[46:], uint16(sum))
	return b
}
