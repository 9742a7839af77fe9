package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// said is a message that a server sent, without its frame.
type said struct {
	udp    bool
	octets []byte
}

// talk asks a server in octets, over TCP and UDP, and notes all that it says.
type talk struct {
	t      *testing.T
	server string
	all    []said
}

// line is one of a talk's connections.
type line struct {
	*talk
	net.Conn
}

func (k *talk) dial(network string) *line {
	k.t.Helper()
	c, err := net.Dial(network, k.server)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil { // whoever waits for what never comes fails
		k.t.Fatal(err)
	}
	return &line{k, c}
}

func (l *line) udp() bool { return l.LocalAddr().Network() == "udp" }

// say sends a message.
func (l *line) say(m []byte) {
	l.t.Helper()
	if !l.udp() {
		m = append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)
	}
	if _, err := l.Write(m); err != nil {
		l.t.Fatal(err)
	}
}

// hear is the next message, which is of the wanted type.
func (l *line) hear(kind byte) []byte {
	l.t.Helper()
	b := l.next()
	if b[0] != kind {
		l.t.Fatalf("message %x, want type %d", b, kind)
	}
	return b
}

func (l *line) next() []byte {
	l.t.Helper()
	var b []byte
	var err error
	if l.udp() {
		b = make([]byte, 65536)
		var n int
		n, err = l.Read(b)
		b = b[:n]
	} else {
		var size [2]byte
		if _, err = io.ReadFull(l, size[:]); err == nil {
			b = make([]byte, binary.BigEndian.Uint16(size[:]))
			_, err = io.ReadFull(l, b)
		}
	}
	if err != nil || len(b) < 4 {
		l.t.Fatalf("read %x: %v", b, err)
	}
	l.all = append(l.all, said{l.udp(), b})
	return b
}

// answer asks and hears a whole answer of bulk leasequery; it tells how many clients came.
func (l *line) answer(m []byte) (clients int) {
	l.t.Helper()
	l.say(m)
	for b := l.hear(15); ; b = l.next() {
		switch {
		case b[0] == 16:
			return clients
		case !bytes.Contains(b, []byte{0, 45}) || statusIn(b) != 0:
			return 0
		}
		clients++
	}
}

// hearUntil hears LEASEQUERY-DATA until one is so.
func (l *line) hearUntil(what string, so func(b []byte) bool) {
	l.t.Helper()
	for range 100_000 {
		if b := l.hear(17); so(b) {
			return
		}
	}
	l.t.Fatalf("%s never came", what)
}

// topOptions walks over the options of a message, or of a relay message.
func topOptions(b []byte) (all []tlv) {
	if b[0] == 12 || b[0] == 13 {
		return tlvs(b[34:])
	}
	return tlvs(b[4:])
}

// tlv is an option.
type tlv struct {
	code  uint16
	value []byte
}

func tlvs(b []byte) (all []tlv) {
	for len(b) >= 4 {
		n := 4 + int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b) {
			return append(all, tlv{0xffff, b}) // shows wherever it is compared
		}
		all = append(all, tlv{binary.BigEndian.Uint16(b), b[4:n]})
		b = b[n:]
	}
	return all
}

// statusIn is the status of a message; 0 where it has none.
func statusIn(b []byte) int {
	for _, o := range topOptions(b) {
		if o.code == 13 && len(o.value) >= 2 {
			return int(binary.BigEndian.Uint16(o.value))
		}
	}
	return 0
}

// Messages in octets: an option, and messages with a client-id.
func tv(code uint16, value ...[]byte) []byte {
	v := bytes.Join(value, nil)
	return append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, code), uint16(len(v))), v...)
}

func codesOf(c ...uint16) (b []byte) {
	for _, n := range c {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return b
}

func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func in6(a string) []byte { b := netip.MustParseAddr(a).As16(); return b[:] }

func asking(kind, id byte, options ...[]byte) []byte {
	return append([]byte{kind, 0x10, 0, id}, bytes.Join(options, nil)...)
}

var familyID = tv(1, []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 9})

func lqFor(kind byte, link string, options ...[]byte) []byte {
	return tv(44, []byte{kind}, in6(link), bytes.Join(options, nil))
}

// through puts a message into relays' messages, the innermost relay first.
func through(m []byte, relays ...[]byte) []byte {
	for hops, options := range relays {
		m = bytes.Join([][]byte{{12, byte(hops)}, in6("2001:db8:1000::1"), in6("2001:db8:f::7"), options, tv(9, m)}, nil)
	}
	return m
}
