//go:build linux

package main

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// attack is one way to hurt a node. A strike is one go at it; it is struck again and again by so many enemies.
type attack struct {
	name    string
	enemies int
	strike  func(e *enemy)
}

// tcpAttacks are those over TCP in clear.
func tcpAttacks() []attack {
	return []attack{
		{"frames split octet by octet", 4, (*enemy).split},
		{"frames merged and cut anywhere", 4, (*enemy).merged},
		{"slow loris", 20, (*enemy).loris},
		{"connections from one address", 2, func(e *enemy) { e.flood(2*hostilePlaces, func() netip.Addr { return e.lab.bad.Addr }) }},
		{"connections from any address", 2, func(e *enemy) { e.flood(hostileLimit, func() netip.Addr { return e.somewhere(membersNet) }) }},
		{"connections of strangers", 2, func(e *enemy) { e.flood(100, func() netip.Addr { return e.somewhere(strangersNet) }) }},
		{"thousands of queries at once", 2, (*enemy).pipeline},
		{"one transaction-id again and again", 2, (*enemy).duplicates},
		{"giant ORO, long messages, deep nesting", 4, (*enemy).giants},
		{"stalled readers from one address", 1, func(e *enemy) { e.stall(4*hostilePlaces, func() netip.Addr { return e.lab.bad.Addr }) }},
		{"stalled readers and subscribers", 8, func(e *enemy) { e.stall(20, func() netip.Addr { return e.somewhere(membersNet) }) }},
		{"resets", 4, (*enemy).reset},
		{"half closes", 4, (*enemy).halfClose},
		{"broken messages", 4, func(e *enemy) { e.garble(e.member()) }},
		{"random octets", 4, (*enemy).noise},
	}
}

// send writes; what comes of it is the node's business, which may have closed the connection.
func (e *enemy) send(c net.Conn, b []byte) bool {
	_, err := c.Write(b)
	return err == nil
}

// beside sends while answers are read; what it returns closes the connection and waits for it.
func beside(send func()) (end func(net.Conn)) {
	var sending sync.WaitGroup
	sending.Go(send)
	return func(c net.Conn) {
		_ = c.Close()
		sending.Wait()
	}
}

// readAll wants so many answers, all of them right, if the connection lasts.
func (e *enemy) readAll(c net.Conn, answers, clients int) {
	got, err := e.lab.leaseCount(c, answers)
	switch {
	case errors.Is(err, errImpossible):
		e.lab.t.Errorf("an enemy that asks well is answered badly: %v", err)
	case err == nil && got != clients:
		e.lab.t.Errorf("an enemy that asks well is told of %d clients, want %d", got, clients)
	}
}

func (e *enemy) split() {
	c := e.member()
	if c == nil {
		return
	}
	defer c.Close()
	for _, b := range e.query(1, false) {
		if !e.send(c, []byte{b}) {
			return
		}
	}
	e.readAll(c, 1, 1)
}

func (e *enemy) merged() {
	c := e.member()
	if c == nil {
		return
	}
	defer c.Close()
	const queries = 50
	var all []byte
	for id := range queries {
		all = append(all, e.query(id, false)...)
	}
	var pieces [][]byte
	for n := 0; len(all) > 0; all = all[n:] {
		n = 1 + e.rng.IntN(len(all))
		pieces = append(pieces, all[:n])
	}
	sending := beside(func() {
		for _, b := range pieces {
			if !e.send(c, b) {
				return
			}
		}
	})
	defer sending(c)
	e.readAll(c, queries, queries)
}

// loris sends an octet now and then: of a query, or of a handshake that STARTTLS was answered for.
func (e *enemy) loris() {
	c := e.member()
	if c == nil {
		return
	}
	defer c.Close()
	slow := e.query(1, true)
	if e.rng.IntN(2) == 0 {
		if !e.send(c, framed(message(dhcpv6.MessageStartTLS, 1))) {
			return
		}
		slow = clientHelloStart
	}
	e.struck.Add(1)
	for _, b := range slow {
		if e.ctx.Err() != nil || !e.send(c, []byte{b}) {
			return
		}
		e.wait(20 * time.Millisecond)
	}
	_, _ = io.Copy(io.Discard, c)
}

// flood opens connections and keeps them until all are open; every other one says half a message.
func (e *enemy) flood(connections int, from func() netip.Addr) {
	var open []net.Conn
	defer func() {
		for _, c := range open {
			// The node may have closed it first.
			_ = c.Close()
		}
	}()
	for n := range connections {
		if e.ctx.Err() != nil {
			return
		}
		c := e.dial(from())
		if c == nil {
			continue
		}
		open = append(open, c)
		if q := e.query(1, true); n%2 == 0 {
			e.send(c, q[:e.rng.IntN(len(q))])
		}
	}
}

// pipeline sends thousands of queries before it reads; or never reads.
func (e *enemy) pipeline() {
	c := e.member()
	if c == nil {
		return
	}
	defer c.Close()
	const queries = 3000
	var all []byte
	for id := range queries {
		all = append(all, e.query(id, false)...)
	}
	if e.rng.IntN(3) == 0 {
		e.send(c, all)
		return
	}
	defer beside(func() { e.send(c, all) })(c)
	e.readAll(c, queries, queries)
}

func (e *enemy) duplicates() {
	c := e.member()
	if c == nil {
		return
	}
	defer c.Close()
	var all []byte
	for range 500 {
		all = append(all, e.query(7, true)...)
	}
	defer beside(func() {
		e.send(c, all)
		_ = c.CloseWrite()
	})(c)
	_, err := e.lab.leaseCount(c, 500)
	if errors.Is(err, errImpossible) {
		e.lab.t.Errorf("queries with one transaction-id: %v", err)
	}
}

// reset breaks the connection off while an answer is on its way.
func (e *enemy) reset() {
	c := e.member()
	if c == nil {
		return
	}
	e.send(c, e.query(1, true))
	if e.rng.IntN(2) == 0 {
		_, _ = c.Read(make([]byte, 1000))
	}
	// Closing resets: nothing is lingered for.
	_ = c.SetLinger(0)
	_ = c.Close()
}

func (e *enemy) halfClose() {
	c := e.member()
	if c == nil {
		return
	}
	defer c.Close()
	switch q := e.query(1, true); e.rng.IntN(3) {
	case 0:
		e.send(c, q[:e.rng.IntN(len(q))])
	case 1:
		e.send(c, q)
	case 2:
		e.send(c, framed(message(dhcpv6.MessageActiveLeasequery, 1)))
	}
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, c)
}

// garble sends broken messages, some with a broken frame around them, and reads what comes.
func (e *enemy) garble(c net.Conn) {
	if c == nil || c == (*net.TCPConn)(nil) {
		return
	}
	defer c.Close()
	go func() { _, _ = io.Copy(io.Discard, c) }()
	for range 20 {
		b := framed(e.mutate.broken())
		if e.rng.IntN(20) == 0 {
			b[e.rng.IntN(2)] ^= 1 << e.rng.IntN(8)
		}
		if !e.send(c, b) {
			return
		}
	}
}

func (e *enemy) noise() {
	c := e.member()
	if c == nil {
		return
	}
	defer c.Close()
	e.send(c, e.random(1+e.rng.IntN(5000)))
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, c)
}

func (e *enemy) random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(e.rng.Uint32())
	}
	return b
}
