package requestor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// maxDatagram is room for any answer over UDP, in octets.
const maxDatagram = 65535

// datagrams is one query over UDP as it is put to one server: sent, and sent again while there is no answer (RFC 5007 4.3.2).
type datagrams struct {
	config Config
	target *target
	query  []byte
	id     dhcpv6.TransactionID

	silent chan<- struct{} // told once, when the server has not answered in the first LQ_TIMEOUT
	reply  []byte          // the LEASEQUERY-REPLY, once run has returned nil
}

// newDatagram is a query as it goes over the wire, with a transaction-id that nobody can guess (RFC 8415 16.1).
func (q *Query) newDatagram(clientID []byte) (message []byte, id dhcpv6.TransactionID, err error) {
	if q.Type != dhcpv6.QueryByAddress && q.Type != dhcpv6.QueryByClientID {
		return nil, id, fmt.Errorf("%w: %v needs TCP: over UDP there are only queries by address and by client-id (RFC 5460 4)", ErrQuery, q.Type)
	}
	if q.BaseTime || q.StartTime != nil || q.EndTime != nil {
		return nil, id, fmt.Errorf("%w: base, start and end time need TCP (RFC 7653 9)", ErrQuery)
	}
	rand.Read(id[:]) // never fails
	m, err := q.message(id, clientID)
	if err != nil {
		return nil, id, err
	}
	message, err = m.AppendBinary(nil)
	return message, id, err
}

// run asks until there is an answer that counts, LQ_MAX_RC tries are over or ctx ends. The error is a *StatusError, or wraps
// ErrSilent, the context's cause or the network's.
func (d *datagrams) run(ctx context.Context) error {
	conn, to, err := dialUDP(ctx, d.target.address)
	if err != nil {
		return err
	}
	defer func() {
		// The answer is there or is not; closing changes neither.
		_ = conn.Close()
	}()
	stop := context.AfterFunc(ctx, func() {
		// It fails only on a socket that is closed, which nobody waits for.
		_ = conn.SetReadDeadline(time.Unix(1, 0))
	})
	defer stop()
	tries := backoff{irt: d.config.MinBackoff, mrt: d.config.MaxBackoff, mrc: d.config.Tries}
	for {
		sent := d.send(conn, to)
		wait, again := tries.next()
		err := d.await(ctx, conn, wait)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d.isSilent()
		if !again {
			if sent != nil {
				return sent
			}
			return fmt.Errorf("%w: no answer to %d queries (RFC 5007 4.1.4)", ErrSilent, tries.sent)
		}
	}
}

// isSilent has the next server asked, once.
func (d *datagrams) isSilent() {
	if d.silent != nil {
		d.silent <- struct{}{}
		d.silent = nil
	}
}

// send sends the query once. What fails may pass: there is another try.
func (d *datagrams) send(conn *net.UDPConn, to netip.AddrPort) error {
	var err error
	if to.IsValid() {
		_, err = conn.WriteToUDPAddrPort(d.query, to)
	} else {
		_, err = conn.Write(d.query)
	}
	return err
}

// await reads until an answer has come that counts, or for as long as it may wait. Others are discarded (RFC 5007 4.2.2).
func (d *datagrams) await(ctx context.Context, conn *net.UDPConn, wait time.Duration) error {
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if ctx.Err() != nil { // it has ended before the deadline was set
		return context.Cause(ctx)
	}
	b := make([]byte, maxDatagram)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, syscall.ECONNREFUSED) { // of an earlier try: nobody listens there, yet
			d.isSilent()
			continue
		}
		if err != nil {
			return err
		}
		m, err := dhcpv6.ParseMessage(b[:n])
		if err != nil || !d.answers(m) {
			continue
		}
		d.reply = b[:n]
		return errorStatus(m)
	}
}

// answers tells whether a message is an answer to the query (RFC 5007 4.2.2).
func (d *datagrams) answers(m dhcpv6.Message) bool {
	client, _ := m.Options.First(dhcpv6.OptionClientID)
	server, _ := m.Options.First(dhcpv6.OptionServerID)
	return m.Type == dhcpv6.MessageLeasequeryReply && m.TransactionID == d.id && bytes.Equal(client, d.config.ClientID) && len(server) > 0
}

// dialUDP is a socket for one server. It takes datagrams from that address alone, except for a multicast group, whose members
// answer from their own: then to is where to send.
func dialUDP(ctx context.Context, address string) (conn *net.UDPConn, to netip.AddrPort, err error) {
	if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().IsMulticast() {
		conn, err := net.ListenUDP("udp6", nil)
		if err != nil {
			return nil, to, fmt.Errorf("ask %s: %w", address, err)
		}
		return conn, at, nil
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "udp6", address)
	if err != nil {
		return nil, to, err
	}
	return c.(*net.UDPConn), to, nil
}
