//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// probe is a good requestor of one kind: it asks all the while and checks every answer.
type probe struct {
	name string
	lab  *hostileLab
	rng  *rand.Rand
	ask  func(ctx context.Context) error // once; an error that is errImpossible is a wrong answer, others cost another try
	drop func()                          // the connection, which is broken

	mu    sync.Mutex
	took  []time.Duration
	again int   // tries that came to nothing, since the phase began
	worst error // the last of those
}

// probePace is how long after an answer a probe asks again.
const probePace = 2 * time.Millisecond

// run asks until ctx ends.
func (p *probe) run(ctx context.Context) {
	for ctx.Err() == nil {
		begin := time.Now()
		for ctx.Err() == nil {
			err := p.ask(ctx)
			if err == nil {
				p.mu.Lock()
				p.took = append(p.took, time.Since(begin))
				p.mu.Unlock()
				break
			}
			if ctx.Err() != nil {
				break
			}
			if errors.Is(err, errImpossible) {
				p.lab.t.Errorf("%s: %v", p.name, err)
				return
			}
			p.drop()
			p.mu.Lock()
			p.again++
			p.worst = err
			p.mu.Unlock()
			timer := time.NewTimer(probePace)
			<-timer.C
		}
		timer := time.NewTimer(probePace)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// phase takes what was measured since the phase before: p50, p99, how many answers, and how many tries came to nothing.
func (p *probe) phase(t testing.TB, what string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	took, again, worst := p.took, p.again, p.worst
	p.took, p.again, p.worst = nil, 0, nil
	if len(took) == 0 {
		t.Logf("%s, %s: no answer; the last of %d tries: %v", what, p.name, again, worst)
		return "none"
	}
	slices.Sort(took)
	text := fmt.Sprintf("%.2f/%.2f", ms(took[len(took)/2]), ms(took[len(took)*99/100]))
	if again > 0 {
		text += fmt.Sprintf(" (%d again)", again)
	}
	return text
}

// answers is how many answers there were since the phase began.
func (p *probe) answers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.took)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// overTCP asks on a connection that is kept: by address if link is negative, else for all of a relay.
func (l *hostileLab) overTCP(name string, seed uint64, tls *starttls.Client, bulk bool) *probe {
	p := &probe{name: name, lab: l, rng: rand.New(rand.NewPCG(seed, uint64(len(name))))}
	var conn *requestor.Conn
	config := l.requestorOf(tls)
	p.drop = func() {
		if conn != nil {
			// It is broken already.
			_ = conn.Close()
			conn = nil
		}
	}
	l.t.Cleanup(p.drop)
	p.ask = func(ctx context.Context) (err error) {
		if conn == nil {
			if conn, err = requestor.Dial(ctx, l.node.Leasequery, config); err != nil {
				return err
			}
		}
		link, client := p.rng.IntN(l.world.links), p.rng.IntN(l.world.clients)
		q, want := requestor.Query{Type: dhcpv6.QueryByAddress, Address: l.world.address(link, client)}, 1
		if bulk {
			q, want = requestor.Query{Type: dhcpv6.QueryByRelayID, RelayID: l.world.relayID(link)}, l.world.clients
		}
		got := map[string]bool{}
		err = conn.Query(ctx, q, func(c *requestor.Client) error {
			if !bulk && string(c.DUID) != string(l.world.duid(link, client)) {
				return fmt.Errorf("%w: %v is told to be of %x", errImpossible, q.Address, c.DUID)
			}
			got[string(c.DUID)] = true
			return l.world.check(c, link)
		})
		if err == nil && len(got) != want {
			return fmt.Errorf("%w: %d clients, want %d", errImpossible, len(got), want)
		}
		return err
	}
	return p
}

// udpTimeout is how long a probe waits for an answer before it asks again: LQ_TIMEOUT (RFC 5007 4.1.4).
const udpTimeout = time.Second

// overUDP asks by address.
func (l *hostileLab) overUDP(seed uint64) *probe {
	p := &probe{name: "by address, UDP", lab: l, rng: rand.New(rand.NewPCG(seed, 99)), drop: func() {}}
	conn, err := l.good.Dial(l.t.Context(), net.Dialer{}, "udp6", l.node.Leasequery)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { conn.Close() })
	buffer := make([]byte, 1<<16)
	id := 0
	p.ask = func(ctx context.Context) error {
		id++
		link, client := p.rng.IntN(l.world.links), p.rng.IntN(l.world.clients)
		q := dhcpv6.LQQuery{Type: dhcpv6.QueryByAddress, LinkAddress: l.world.link(link), Options: optioned(dhcpv6.IAAddress{Address: l.world.address(link, client)})}
		if _, err := conn.Write(message(dhcpv6.MessageLeasequery, id, optioned(q))); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(udpTimeout)); err != nil {
			return err
		}
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return err
			}
			m, err := dhcpv6.ParseMessage(buffer[:n])
			if err != nil {
				return fmt.Errorf("%w: %w", errImpossible, err)
			}
			if m.TransactionID != (dhcpv6.TransactionID{byte(id >> 16), byte(id >> 8), byte(id)}) {
				continue // to one that was given up
			}
			return l.checkReply(m, link, client)
		}
	}
	return p
}

// checkReply says what is wrong with LEASEQUERY-REPLY to a query for a client's address.
func (l *hostileLab) checkReply(m dhcpv6.Message, link, client int) error {
	value, ok := m.Options.First(dhcpv6.OptionClientData)
	if m.Type != dhcpv6.MessageLeasequeryReply || !ok {
		return fmt.Errorf("%w: %v with %x", errImpossible, m.Type, []byte(m.Options))
	}
	data, err := dhcpv6.ParseClientData(value)
	if err != nil {
		return fmt.Errorf("%w: %w", errImpossible, err)
	}
	duid, _ := data.Options.First(dhcpv6.OptionClientID)
	octets, _ := data.Options.First(dhcpv6.OptionIAAddr)
	address, err := dhcpv6.ParseIAAddress(octets)
	if err != nil || string(duid) != string(l.world.duid(link, client)) || address.Address != l.world.address(link, client) {
		return fmt.Errorf("%w: %v of %x, %v", errImpossible, address, duid, err)
	}
	return nil
}

// goodSubscriber is a good requestor that follows a link.
type goodSubscriber struct {
	lab     *hostileLab
	link    int
	table   *requestor.Replica
	mu      sync.Mutex
	changes int
	ended   int // subscriptions
}

func newGoodSubscriber(l *hostileLab, link int) *goodSubscriber {
	return &goodSubscriber{lab: l, link: link, table: requestor.NewReplica(0)}
}

func (s *goodSubscriber) run(ctx context.Context, tls *starttls.Client) {
	q := requestor.ActiveQuery{Query: requestor.Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: s.lab.world.link(s.link)}, Full: true, Table: s.table}
	config := s.lab.requestorOf(tls)
	config.Rounds, config.MinBackoff, config.MaxBackoff = 1000, 10*time.Millisecond, 100*time.Millisecond
	err := requestor.Watch(ctx, []string{s.lab.node.Leasequery}, config, q, func(e *requestor.Event) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch e.Kind {
		case requestor.EventChange:
			s.changes++
			return s.lab.world.check(e.Client, s.link)
		case requestor.EventTerminated:
			s.ended++
		}
		return nil
	})
	if ctx.Err() == nil || errors.Is(err, errImpossible) {
		s.lab.t.Errorf("the subscriber to link %d ended: %v", s.link, err)
	}
}

// requireWhole fails unless the subscriber knows exactly the leases of its link.
func (s *goodSubscriber) requireWhole() {
	s.lab.t.Helper()
	all := s.table.Holdings()
	if len(all) != s.lab.world.clients {
		s.lab.t.Errorf("the subscriber to link %d knows %d leases, want %d", s.link, len(all), s.lab.world.clients)
	}
	for i, h := range all {
		if h.Prefix.Addr() != s.lab.world.address(s.link, i) || string(h.DUID) != string(s.lab.world.duid(s.link, i)) {
			s.lab.t.Errorf("the subscriber to link %d has %v of %x", s.link, h.Prefix, h.DUID)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lab.t.Logf("subscriber to link %d: %d changes, %d subscriptions ended", s.link, s.changes, s.ended)
}
