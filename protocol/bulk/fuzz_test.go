package bulk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// FuzzConnection sends octets, closes its half and reads to the end. Whatever came, what goes back is whole messages, each
// answer in order and ended, and then the connection ends.
func FuzzConnection(f *testing.F) {
	f.Add(ask(1, 3))
	f.Add(slices.Concat(ask(1, 100), ask(2, 0), ask(1, 5), ask(3, 2)))
	f.Add(append(ask(1, 3), 0, 3, 1, 2, 3))
	f.Add([]byte{0, 4, 22, 0, 0, 9, 0, 4, 23, 0, 0, 1})
	f.Add([]byte{0, 4, 23, 0, 0, 9, 0, 4, 12, 0, 0, 1, 0xff})
	f.Add(append([]byte{0, 9, 14, 0, 0, 1, 0, 1, 0, 9, 1}, ask(4, 1)...))
	f.Add(bytes.Repeat(ask(1, 0), 40))
	fx := newFixture(f, Config{MaxConnections: 1000, MaxConnectionsPerRequestor: 1000, MaxQueriesPerConnection: 3}, &script{size: 300})
	l := listen(f)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { fx.ran <- fx.Run(ctx, l) }()
	f.Cleanup(func() {
		cancel()
		if err := <-fx.ran; err != nil {
			f.Errorf("Run: %v", err)
		}
	})
	f.Fuzz(func(t *testing.T, input []byte) {
		if asksForMuch(input) {
			t.Skip("an answer too long to read each time")
		}
		exchange(t, l.Addr(), input)
	})
}

// exchange sends octets, closes its half and checks what comes back.
func exchange(t *testing.T, server net.Addr, input []byte) {
	t.Helper()
	c := dialDeadline(t, server)
	go func() {
		// A server that has had enough may close first.
		_, _ = c.Write(input)
		_ = c.CloseWrite()
	}()
	checkAnswers(t, c)
}

// FuzzServer is FuzzConnection with real answers from a real store.
func FuzzServer(f *testing.F) {
	for _, q := range [][]byte{
		lq(qLink, "2001:db8:ffff::1"), lq(qAddress, "::", iaAddr("2001:db8:1::b", 0, 0)), lq(qClientID, "::", opt(optClientID, []byte("\x00\x01client-a"))),
		lq(qRelayID, "2001:db8:1::", opt(optRelayID, []byte("relay-1")), opt(optORO, u16(optRelayData), u16(optBaseTime))),
		lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-2"))), lq(9, "::"), opt(optQuery),
	} {
		f.Add(cat(lqMsg(1, q), lqMsg(2, q, q)))
	}
	s := serve(f, house(f), Config{MaxConnections: 1000, MaxConnectionsPerRequestor: 1000})
	f.Fuzz(func(t *testing.T, input []byte) { exchange(t, s.addr, input) })
}

// asksForMuch tells whether a frame of the input asks for more than a few thousand clients.
func asksForMuch(input []byte) bool {
	for {
		frame, n, err := dhcpv6.NextFrame(input)
		if err != nil || n == 0 {
			return false
		}
		input = input[n:]
		if m, err := dhcpv6.ParseMessage(frame); err == nil {
			if v, ok := m.Options.First(optionClients); ok && (len(v) < 4 || binary.BigEndian.Uint32(v) > 2000) {
				return true
			}
		}
	}
}

// eachMessage reads to the end and passes each message on with its octets. It tells whether the connection was reset instead: the server
// closed on a short frame while octets were still sent.
func eachMessage(t *testing.T, c net.Conn, each func(octets []byte, m dhcpv6.Message)) (reset bool) {
	t.Helper()
	for frames := dhcpv6.NewReader(c, nil); ; {
		frame, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return false
		}
		if errors.Is(err, syscall.ECONNRESET) {
			return true
		}
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		m, err := dhcpv6.ParseMessage(frame)
		if err != nil {
			t.Fatalf("message %x: %v", frame, err)
		}
		each(frame, m)
	}
}

// checkAnswers reads to the end and checks the order of messages for each transaction-id (RFC 5460 5.2, 6.3).
func checkAnswers(t *testing.T, c net.Conn) {
	t.Helper()
	open := map[dhcpv6.TransactionID]bool{}
	reset := eachMessage(t, c, func(_ []byte, m dhcpv6.Message) {
		_, data := m.Options.First(dhcpv6.OptionClientData)
		was := open[m.TransactionID]
		switch {
		case m.Type == dhcpv6.MessageReply && !data:
		case m.Type == dhcpv6.MessageLeasequeryReply && !was:
			open[m.TransactionID] = data
		case m.Type == dhcpv6.MessageLeasequeryData && was && data:
		case m.Type == dhcpv6.MessageLeasequeryDone && was && !data:
			open[m.TransactionID] = false
		default:
			t.Fatalf("%v (client data %v) for transaction-id %x, whose answer was open: %v", m.Type, data, m.TransactionID, was)
		}
	})
	if reset {
		return
	}
	for id, still := range open {
		if still {
			t.Errorf("answer %x without LEASEQUERY-DONE", id)
		}
	}
}
