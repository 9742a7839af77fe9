//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// clientHelloStart is how a TLS handshake begins, its end left out.
var clientHelloStart = append([]byte{22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3}, make([]byte, 120)...)

// tlsAttacks are those around STARTTLS and inside TLS.
func tlsAttacks() []attack {
	return []attack{
		{"nonsense before, behind and after STARTTLS", 4, (*enemy).aroundTLS},
		{"handshakes that nobody goes on with", 8, (*enemy).halfHandshake},
		{"broken messages inside TLS", 4, func(e *enemy) {
			if c := e.inTLS(); c != nil {
				e.garble(c)
			}
		}},
		{"records turned inside TLS", 4, (*enemy).turnRecords},
		{"stalled readers inside TLS", 4, (*enemy).stallInTLS},
	}
}

// startTLS asks for TLS and tells whether the node agreed.
func (e *enemy) startTLS(c net.Conn, behind ...byte) bool {
	if !e.send(c, append(framed(message(dhcpv6.MessageStartTLS, 1)), behind...)) {
		return false
	}
	frame, err := dhcpv6.NewReader(c, nil).Next()
	return err == nil && frame[0] == byte(dhcpv6.MessageReply)
}

// inTLS is a connection inside TLS, of an enemy with a good certificate; nil if the node did not take it.
func (e *enemy) inTLS() *tls.Conn {
	c := e.dial(e.somewhere([]string{membersNet, strangersNet}[e.rng.IntN(2)]))
	if c == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(e.ctx, enemyPatience)
	defer cancel()
	secured, err := requestor.StartTLS(ctx, c, e.lab.node.Leasequery, e.tls)
	if err != nil {
		_ = c.Close()
		return nil
	}
	return secured.(*tls.Conn)
}

func (e *enemy) aroundTLS() {
	c := e.dial(e.somewhere([]string{membersNet, strangersNet}[e.rng.IntN(2)]))
	if c == nil {
		return
	}
	defer c.Close()
	switch e.rng.IntN(6) {
	case 0: // a handshake that nobody was asked for
		e.send(c, clientHelloStart)
	case 1: // something in clear behind STARTTLS, in one write
		e.startTLS(c, e.query(2, true)...)
	case 2: // nonsense where the handshake belongs
		if e.startTLS(c) {
			e.send(c, e.random(300))
		}
	case 3: // a good query where the handshake belongs
		if e.startTLS(c) {
			e.send(c, e.query(2, true))
		}
	case 4: // STARTTLS again, and behind a query
		e.send(c, append(e.query(2, false), framed(message(dhcpv6.MessageStartTLS, 1))...))
	case 5: // alerts, and records of a length that none has
		if e.startTLS(c) {
			e.send(c, [][]byte{{21, 3, 3, 0, 2, 1, 0}, {22, 3, 3, 255, 255, 1}, {23, 3, 3, 0, 0}, {20, 3, 3, 0, 1, 1}}[e.rng.IntN(4)])
		}
	}
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, c)
}

func (e *enemy) halfHandshake() {
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for range 10 {
		c := e.dial(e.somewhere([]string{membersNet, strangersNet}[e.rng.IntN(2)]))
		if c == nil {
			continue
		}
		open = append(open, c)
		if e.startTLS(c) {
			e.send(c, clientHelloStart[:e.rng.IntN(len(clientHelloStart))])
		}
	}
	e.struck.Add(1)
	e.wait(enemyPatience / 2)
}

// turner turns an octet of what is written now and then.
type turner struct {
	net.Conn
	e *enemy
}

func (t turner) Write(b []byte) (int, error) {
	b = append([]byte(nil), b...)
	if t.e.rng.IntN(3) == 0 && len(b) > 0 {
		b[t.e.rng.IntN(len(b))] ^= 1 << t.e.rng.IntN(8)
	}
	return t.Conn.Write(b)
}

// turnRecords speaks TLS through a wire that turns octets: in the handshake, or behind it.
func (e *enemy) turnRecords() {
	c := e.member()
	if c == nil {
		return
	}
	defer c.Close()
	if !e.startTLS(c) {
		return
	}
	ctx, cancel := context.WithTimeout(e.ctx, enemyPatience)
	defer cancel()
	e.struck.Add(1)
	secured, err := e.tls.Handshake(ctx, turner{c, e}, e.lab.node.Leasequery)
	if err != nil {
		return
	}
	for id := range 5 {
		if !e.send(secured, e.query(id, false)) {
			return
		}
	}
	_ = secured.CloseWrite()
	_, _ = io.Copy(io.Discard, secured)
}

func (e *enemy) stallInTLS() {
	c := e.inTLS()
	if c == nil {
		return
	}
	defer func() {
		_ = c.NetConn().(*net.TCPConn).SetLinger(0)
		_ = c.NetConn().Close()
	}()
	small(c.NetConn().(*net.TCPConn))
	if e.rng.IntN(2) == 0 {
		e.send(c, framed(message(dhcpv6.MessageActiveLeasequery, 1)))
	}
	for id := range 10 {
		e.send(c, e.query(id+2, true))
	}
	e.struck.Add(1)
	e.wait(enemyPatience)
}
