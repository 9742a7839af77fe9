package ladder

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// requestorID is the DUID that the ladder asks as.
func requestorID() dhcpv6.ClientID { return dhcpv6.ClientID("\x00\x02\x00\x00\x7e\xd9ladder") }

// frame makes one query as it goes over the wire.
func frame(id byte, kind dhcpv6.QueryType, subject func([]byte) ([]byte, error)) ([]byte, error) {
	options, err := subject(nil)
	if err != nil {
		return nil, err
	}
	body, err := requestorID().AppendBinary(nil)
	if err == nil {
		body, err = dhcpv6.LQQuery{Type: kind, LinkAddress: netip.IPv6Unspecified(), Options: options}.AppendBinary(body)
	}
	if err != nil {
		return nil, err
	}
	return dhcpv6.AppendFrame(nil, dhcpv6.Message{Type: dhcpv6.MessageLeasequery, TransactionID: dhcpv6.TransactionID{0, 0, id}, Options: body})
}

// stream is what bulk answers came to.
type stream struct {
	messages, octets int
	took             time.Duration
}

// readAnswer reads frames until LEASEQUERY-DONE and counts those with client data.
func readAnswer(r *bufio.Reader, s *stream) error {
	for {
		head, err := r.Peek(3)
		if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		n, kind := int(binary.BigEndian.Uint16(head)), dhcpv6.MessageType(head[2])
		if _, err := r.Discard(2 + n); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		if kind == dhcpv6.MessageLeasequeryDone {
			if n != 4 {
				return errors.New("answer ended with a status")
			}
			return nil
		}
		s.messages++
		s.octets += n
	}
}

// dialer makes a connection to a server.
type dialer func(ctx context.Context, server string) (net.Conn, error)

// dialClear connects and does nothing more.
func dialClear(ctx context.Context, server string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", server)
}

// streamRelays asks for everything behind each relay in turn, on one connection, for a while.
func streamRelays(ctx context.Context, dial dialer, server string, relays [][]byte, during time.Duration) (s stream, err error) {
	conn, err := dial(ctx, server)
	if err != nil {
		return s, fmt.Errorf("stream: %w", err)
	}
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 256<<10)
	begin := time.Now()
	for i := 0; time.Since(begin) < during && ctx.Err() == nil; i++ {
		query, err := frame(byte(i), dhcpv6.QueryByRelayID, dhcpv6.RelayID(relays[i%len(relays)]).AppendBinary)
		if err != nil {
			return s, err
		}
		if _, err := conn.Write(query); err != nil {
			return s, fmt.Errorf("stream: %w", err)
		}
		if err := readAnswer(r, &s); err != nil {
			return s, err
		}
	}
	s.took = time.Since(begin)
	return s, ctx.Err()
}

// oneLease measures queries for one address on an open connection.
func oneLease(ctx context.Context, server string, address netip.Addr, n int) (quantiles, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
	if err != nil {
		return quantiles{}, fmt.Errorf("ask for one lease: %w", err)
	}
	defer conn.Close()
	query, err := frame(1, dhcpv6.QueryByAddress, dhcpv6.IAAddress{Address: address}.AppendBinary)
	if err != nil {
		return quantiles{}, err
	}
	r := bufio.NewReader(conn)
	return measure(n, func() error {
		if _, err := conn.Write(query); err != nil {
			return err
		}
		var s stream
		if err := readAnswer(r, &s); err != nil {
			return err
		}
		if s.messages != 1 {
			return fmt.Errorf("%d messages with client data, want 1", s.messages)
		}
		return nil
	})
}
