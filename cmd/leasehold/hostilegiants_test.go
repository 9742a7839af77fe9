//go:build linux

package main

import (
	"bytes"
	"io"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// giants sends messages as long or as deep as they can be, and a good query behind each, which must be answered.
func (e *enemy) giants() {
	c := e.member()
	if c == nil {
		return
	}
	defer c.Close()
	giant := e.giant()
	go e.send(c, append(framed(giant), e.query(2, false)...))
	frames := dhcpv6.NewReader(c, nil)
	for {
		frame, err := frames.Next()
		if err != nil {
			return
		}
		m, err := dhcpv6.ParseMessage(frame)
		if err != nil {
			e.lab.t.Errorf("beside a message of %d octets: %v", len(giant), err)
			return
		}
		if m.TransactionID == (dhcpv6.TransactionID{0, 0, 2}) {
			if _, holds := m.Options.First(dhcpv6.OptionClientData); !holds {
				e.lab.t.Errorf("behind a message of %d octets there is no client in the answer %x", len(giant), frame)
			}
			return
		}
	}
}

// giant is a message of up to 65,535 octets.
func (e *enemy) giant() []byte {
	link := e.lab.world.link(e.rng.IntN(e.lab.world.links))
	room := dhcpv6.MaxFrame - len(message(dhcpv6.MessageLeasequery, 1)) - 4 - 17
	q := dhcpv6.LQQuery{Type: dhcpv6.QueryByLinkAddress, LinkAddress: link}
	switch e.rng.IntN(6) {
	case 0: // an ORO of thirty thousand codes
		q.Options = sure(dhcpv6.AppendOption(nil, dhcpv6.OptionORO, e.random((room-4)&^1)))
	case 1: // as many times the same code
		q.Options = sure(dhcpv6.AppendOption(nil, dhcpv6.OptionORO, bytes.Repeat([]byte{0, byte(dhcpv6.OptionLQRelayData)}, (room-4)/2)))
	case 2: // sixteen thousand empty options
		q.Options = bytes.Repeat([]byte{0xfd, 0xe8, 0, 0}, room/4)
	case 3: // options in options
		for len(q.Options)+8 < room {
			q.Options = sure(dhcpv6.AppendOption(nil, dhcpv6.OptionClientData, q.Options))
			if len(q.Options) > 4000 {
				break // each copies all within: deep enough
			}
		}
	case 4: // relay messages in relay messages
		return e.nest(message(dhcpv6.MessageLeasequery, 1, optioned(q)), 1500)
	case 5: // one long option
		return message(dhcpv6.MessageLeasequery, 1, optioned(q), sure(dhcpv6.AppendOption(nil, 65000, e.random(room-4))))
	}
	return message(dhcpv6.MessageLeasequery, 1, optioned(q))
}

// nest puts a message into so many relay messages, but for those that there is no room for.
func (e *enemy) nest(inner []byte, levels int) []byte {
	head := dhcpv6.AppendRelayHeader(nil, dhcpv6.MessageRelayForward, 0, e.lab.world.link(0), netip.MustParseAddr("fe80::1"))
	levels = min(levels, (dhcpv6.MaxFrame-len(inner))/(len(head)+4))
	size := len(inner)
	var out []byte
	for level := levels; level > 0; level-- {
		length := size + (level-1)*(len(head)+4)
		head[1] = byte(level - 1) // hop-count, of the outermost the most
		out = append(append(out, head...), 0, byte(dhcpv6.OptionRelayMessage), byte(length>>8), byte(length))
	}
	return append(out, inner...)
}

// stall asks for much, or subscribes, and reads nothing or the beginning only.
func (e *enemy) stall(connections int, from func() netip.Addr) {
	var open []*net.TCPConn
	defer func() {
		for _, c := range open {
			_ = c.SetLinger(0) // closing resets
			_ = c.Close()
		}
	}()
	for range connections {
		c := e.dial(from())
		if c == nil {
			break
		}
		open = append(open, c)
		small(c)
		if e.rng.IntN(2) == 0 {
			e.send(c, framed(message(dhcpv6.MessageActiveLeasequery, 1)))
			_, _ = io.ReadFull(c, make([]byte, 6)) // its REPLY begins: it has its place for good, or none
			continue
		}
		for id := range 10 {
			e.send(c, e.query(id, true))
		}
		if e.rng.IntN(4) == 0 {
			_, _ = io.ReadFull(c, make([]byte, 100))
		}
	}
	e.struck.Add(1)
	e.wait(enemyPatience)
}

// small makes the receive buffer small, so that whoever writes is held up soon.
func small(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	// It is only a wish: with another size more is needed to hold the writer up.
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
}
