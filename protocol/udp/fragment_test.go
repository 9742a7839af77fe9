package udp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// RFC 8200 4.5, 8.1; RFC 768.
func TestFragmentOctets(t *testing.T) {
	from, to := netip.MustParseAddrPort("[2001:db8::1]:547"), netip.MustParseAddrPort("[2001:db8::2]:1000")
	message := bytes.Repeat([]byte{0x11}, 1225) // one octet more than the first fragment has room for, beside the UDP header
	got, size := appendFragments(nil, message, from, to, 0xaabbccdd)
	addresses := cat(addr("2001:db8::1"), addr("2001:db8::2"))
	want := cat(
		[]byte{0x60, 0, 0, 0}, u16(8+1232), []byte{44, 64}, addresses, // 1,232 octets behind the fragment header, which are 154 times 8
		[]byte{17, 0}, u16(0<<3|1), []byte{0xaa, 0xbb, 0xcc, 0xdd},
		u16(547), u16(1000), u16(8+1225), u16(0xb6ff), message[:1224],
		[]byte{0x60, 0, 0, 0}, u16(8+1), []byte{44, 64}, addresses,
		[]byte{17, 0}, u16(154<<3), []byte{0xaa, 0xbb, 0xcc, 0xdd},
		[]byte{0x11},
	)
	if diff := cmp.Diff(hex.Dump(want), hex.Dump(got)); diff != "" || size != minMTU {
		t.Errorf("fragments of %d octets (-want +got):\n%s", size, diff)
	}
}

// Whatever its size, a datagram's fragments put together are the datagram, with a checksum that a receiver accepts: all its words,
// and those of the pseudo-header, sum up to nothing.
func TestFragmentsPutTogether(t *testing.T) {
	from, to := netip.MustParseAddrPort("[2001:db8::1]:547"), netip.MustParseAddrPort("[fe80::ffff:1]:65535")
	for _, n := range []int{1, 1223, 1224, 1225, 1233, 2456, 2457, 10_001, 65_527} {
		message := make([]byte, n)
		for i := range message {
			message[i] = byte(i * 31)
		}
		packets, size := appendFragments([]byte("before"), message, from, to, 7)
		packets = packets[len("before"):]
		var whole []byte
		for more := true; more; {
			length := ipv6Header + int(binary.BigEndian.Uint16(packets[4:]))
			p := packets[:length]
			place := binary.BigEndian.Uint16(p[42:])
			more = place&1 == 1
			if int(place&^7) != len(whole) || more && length != size || length > minMTU {
				t.Fatalf("%d octets: fragment at %d of %d octets, expected at %d", n, place&^7, length, len(whole))
			}
			whole = append(whole, p[ipv6Header+fragmentHeader:]...)
			packets = packets[length:]
		}
		if len(packets) != 0 || !bytes.Equal(whole[udpHeader:], message) || int(binary.BigEndian.Uint16(whole[4:])) != n+udpHeader {
			t.Fatalf("%d octets came as %d, and %d behind the last fragment", n, len(whole), len(packets))
		}
		sum := uint64(n+udpHeader) + 17
		for _, part := range [][]byte{addr("2001:db8::1"), addr("fe80::ffff:1"), append(whole, 0)} {
			for ; len(part) >= 2; part = part[2:] {
				sum += uint64(binary.BigEndian.Uint16(part))
			}
		}
		if sum%0xffff != 0 {
			t.Errorf("%d octets: the checksum is wrong by %x", n, sum%0xffff)
		}
	}
}

// A checksum that comes out as none is told as its other form (RFC 8200 8.1).
func TestChecksumIsNeverZero(t *testing.T) {
	for i := range 1 << 16 {
		if udpChecksum(make([]byte, udpHeader), []byte{byte(i >> 8), byte(i)}, netip.MustParseAddr("::1"), netip.MustParseAddr("::1")) == 0 {
			t.Fatalf("the checksum of %04x is 0", i)
		}
	}
}
