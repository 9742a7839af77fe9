//go:build linux

package main

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// enemy is one who attacks: what its strikes need.
type enemy struct {
	lab    *hostileLab
	ctx    context.Context // ends when the attack does
	rng    *rand.Rand
	mutate *mutator
	tls    *starttls.Client
	raw    int           // a raw socket that says who it is from
	struck *atomic.Int64 // strikes that have done what they could, of all who make the same attack

	mu   sync.Mutex
	over bool
	open []*net.TCPConn // of the strike that goes on
}

func newEnemy(ctx context.Context, l *hostileLab, seed, number uint64, tls *starttls.Client, raw int, struck *atomic.Int64) *enemy {
	rng := rand.New(rand.NewPCG(seed, number))
	return &enemy{lab: l, ctx: ctx, rng: rng, mutate: &mutator{rng: rng, world: l.world}, tls: tls, raw: raw, struck: struck}
}

// somewhere is an address of one of the enemies' networks.
func (e *enemy) somewhere(network string) netip.Addr {
	a := netip.MustParsePrefix(network).Addr().As16()
	for i := 8; i < 16; i++ {
		a[i] = byte(e.rng.Uint32())
	}
	return netip.AddrFrom16(a)
}

// patience bounds every wait of an enemy, so that its attack ends.
const enemyPatience = 3 * time.Second

// dial connects from an address, or from the host's own if that is the zero Addr. It returns nil if the node does not take the connection.
func (e *enemy) dial(from netip.Addr) *net.TCPConn {
	d := net.Dialer{Timeout: enemyPatience}
	if from.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
	}
	c, err := e.lab.bad.Dial(e.ctx, d, "tcp6", e.lab.node.Leasequery)
	if err != nil {
		return nil
	}
	tcp := c.(*net.TCPConn)
	e.mu.Lock()
	defer e.mu.Unlock()
	until := time.Now().Add(enemyPatience)
	if e.over {
		until = time.Now()
	}
	// Only a closed socket refuses a deadline.
	_ = tcp.SetDeadline(until)
	e.open = append(e.open, tcp)
	return tcp
}

// attack strikes again and again until the attack is over, and then waits for nothing more.
func (e *enemy) attack(strike func(*enemy)) {
	defer context.AfterFunc(e.ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.over = true
		for _, c := range e.open {
			// It may be closed already.
			_ = c.SetDeadline(time.Now())
		}
	})()
	for e.ctx.Err() == nil {
		strike(e) // closes what it has opened
		e.struck.Add(1)
		e.mu.Lock()
		e.open = nil
		e.mu.Unlock()
	}
}

// member connects from any address that the policy knows.
func (e *enemy) member() *net.TCPConn { return e.dial(e.somewhere(membersNet)) }

// wait waits, or until the attack ends.
func (e *enemy) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.ctx.Done():
	}
}

// query is a good query that has an answer of one client, or of all of a link if bulk.
func (e *enemy) query(id int, bulk bool) []byte {
	w, link := e.lab.world, e.rng.IntN(e.lab.world.links)
	q := dhcpv6.LQQuery{Type: dhcpv6.QueryByLinkAddress, LinkAddress: w.link(link)}
	if !bulk {
		q = dhcpv6.LQQuery{Type: dhcpv6.QueryByAddress, LinkAddress: netip.IPv6Unspecified()}
		q.Options = sure(dhcpv6.IAAddress{Address: w.address(link, e.rng.IntN(w.clients))}.AppendBinary(nil))
	}
	return framed(message(dhcpv6.MessageLeasequery, id, optioned(q)))
}

// message is a message with a client-id and whatever follows.
func message(t dhcpv6.MessageType, id int, options ...[]byte) []byte {
	b := dhcpv6.AppendHeader(nil, t, dhcpv6.TransactionID{byte(id >> 16), byte(id >> 8), byte(id)})
	b = append(b, optioned(dhcpv6.ClientID("\x00\x03\x00\x01hostile"))...)
	for _, o := range options {
		b = append(b, o...)
	}
	return b
}

// framed is the message as TCP has it; of more than 65,535 octets the length says what is left modulo that.
func framed(m []byte) []byte { return append([]byte{byte(len(m) >> 8), byte(len(m))}, m...) }

func optioned(o interface{ AppendBinary([]byte) ([]byte, error) }) []byte {
	return sure(o.AppendBinary(nil))
}

func sure[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
