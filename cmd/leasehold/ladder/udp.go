package ladder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/leasehold/leasehold/feed/synthetic"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/udp"
	"github.com/leasehold/leasehold/protocol/udp/datagram"
)

const (
	udpSubjects = 4096 // leases that are asked for in turn
	udpSockets  = 16   // client sockets, each of another port: what spreads them over the server's sockets
	udpWindow   = 64   // queries of one socket under way
	udpEchoNote = "UDP echo in this run: the same batched I/O, as many server sockets as processors, the same client with 16 sockets, datagrams of the same sizes"
)

// udp measures queries by address at one node, beside an echo of datagrams of the same sizes with the same I/O.
func (m *climb) udp() error {
	queries, err := m.udpQueries()
	if err != nil {
		return err
	}
	server, err := netip.ParseAddrPort(m.cluster.Nodes[0].LeasequeryUDP)
	if err != nil {
		return err
	}
	size, err := udpAnswer(m.ctx, server, queries[0])
	if err != nil {
		return err
	}
	echo, err := newUDPEcho(m.ctx, size)
	if err != nil {
		return err
	}
	defer echo.stop()
	// Each is measured twice, in turn, so that what the machine does besides weighs on both.
	var ours, theirs float64
	for range 2 {
		for _, x := range []struct {
			server netip.AddrPort
			sum    *float64
		}{{echo.addr, &theirs}, {server, &ours}} {
			rate, err := udpFlood(m.ctx, x.server, queries, size, referenceTime)
			if err != nil {
				return err
			}
			*x.sum += rate / 2
		}
	}
	m.note(row("UDP, by address, one node of three", ours, "queries/s", theirs, udpEchoNote))
	q, err := udpPaced(m.ctx, server, queries, ours/2, referenceTime)
	if err != nil {
		return err
	}
	e, err := udpPaced(m.ctx, echo.addr, queries, ours/2, referenceTime)
	if err != nil {
		return err
	}
	note := fmt.Sprintf("UDP echo at the same rate; %.2f %% of the queries lost, %.2f %% of the echoes", 100*q.lost, 100*e.lost)
	m.note(row(fmt.Sprintf("UDP, by address, at half load (%s queries/s), p50", number(ours/2)), ms(q.p50), "ms", ms(e.p50), note))
	m.note(row(fmt.Sprintf("UDP, by address, at half load (%s queries/s), p99", number(ours/2)), ms(q.p99), "ms", ms(e.p99), note))
	return nil
}

// udpQueries are queries for many of the generated leases, each with a transaction-id of its own: its place.
func (m *climb) udpQueries() ([][]byte, error) {
	source, err := synthetic.New(synthetic.Config{Leases: m.Bindings, Relays: m.Relays, Seed: 1})
	if err != nil {
		return nil, err
	}
	queries := make([][]byte, min(udpSubjects, m.Bindings/2))
	for i := range queries {
		b, err := frame(0, dhcpv6.QueryByAddress, dhcpv6.IAAddress{Address: source.Client(i).Address}.AppendBinary)
		if err != nil {
			return nil, err
		}
		b = b[2:] // UDP has no length in front
		b[2], b[3] = byte(i>>8), byte(i)
		queries[i] = b
	}
	return queries, nil
}

// udpAnswer asks once and tells how long the answer is: one that has a client.
func udpAnswer(ctx context.Context, server netip.AddrPort, query []byte) (int, error) {
	c, err := newUDPClient(ctx, server)
	if err != nil {
		return 0, err
	}
	defer c.conn.Close()
	c.send(query)
	if err := c.flush(); err != nil {
		return 0, err
	}
	if _, err := c.read(udpPatience); err != nil {
		return 0, fmt.Errorf("ask %v over UDP: %w", server, err)
	}
	answer := c.in.At(0).Octets
	m, err := dhcpv6.ParseMessage(answer)
	if err != nil {
		return 0, err
	}
	if _, ok := m.Options.First(dhcpv6.OptionClientData); !ok {
		return 0, errors.New("an answer over UDP tells of no client")
	}
	return len(answer), nil
}

// udpEcho answers every datagram with its first octets, as a datagram of a size.
type udpEcho struct {
	addr  netip.AddrPort
	conns []*net.UDPConn
	group sync.WaitGroup
}

func newUDPEcho(ctx context.Context, size int) (*udpEcho, error) {
	conns, err := udp.Listen(ctx, netip.MustParseAddrPort("[::1]:0"), 0, nil)
	if err != nil {
		return nil, err
	}
	e := &udpEcho{addr: conns[0].LocalAddr().(*net.UDPAddr).AddrPort(), conns: conns}
	for _, c := range conns {
		in, err := datagram.NewReader(c)
		if err != nil {
			return nil, err
		}
		out, err := datagram.NewWriter(c)
		if err != nil {
			return nil, err
		}
		answers := make([]byte, datagram.Slots*size)
		e.group.Go(func() {
			for n, err := in.Read(); err == nil; n, err = in.Read() {
				for i := range n {
					d, answer := in.At(i), answers[i*size:][:size]
					copy(answer[:4], d.Octets)
					out.Add(datagram.Outgoing{Octets: answer, To: d.From, Local: d.Local, Interface: d.Interface})
				}
				out.Flush()
			}
		})
	}
	return e, nil
}

func (e *udpEcho) stop() {
	for _, c := range e.conns {
		c.Close()
	}
	e.group.Wait()
}

// lostOf counts what did not come back.
type lostOf struct{ sent, received atomic.Int64 }

func (l *lostOf) share() float64 {
	sent := l.sent.Load()
	if sent == 0 {
		return 0
	}
	return float64(sent-l.received.Load()) / float64(sent)
}
