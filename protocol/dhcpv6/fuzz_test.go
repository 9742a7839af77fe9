package dhcpv6

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"testing"
)

// seedMessages are messages of every type with every option, as the encoder writes them.
func seedMessages(t testing.TB) [][]byte {
	t.Helper()
	_, relayedQuery := chain(t, 2, query)
	_, data := chain(t, 3, nil)
	about := ClientData{Options: options(t,
		ClientID(duidLLT),
		IAAddress{Address: addr("2001:db8::1"), Preferred: 1, Valid: 2, Options: options(t, StatusCode{Status: StatusSuccess, Text: "ok"})},
		IAPrefix{Preferred: 1, Valid: 2, Prefix: netip.MustParsePrefix("2001:db8:1::/48")},
		CLTTime(7),
		ClientFQDN{Flags: FQDNServerUpdates, Name: []byte("\x04host\x00")},
		LQRelayData{Peer: addr("2001:db8::2"), Message: data},
	)}
	var out [][]byte
	for kind, o := range map[MessageType]Options{
		MessageLeasequery: options(t, ClientID(duidEN), LQQuery{
			Type: QueryByRemoteID, LinkAddress: addr("2001:db8::"),
			Options: options(t, RemoteID{Enterprise: 9, ID: []byte("x")}, NewORO(OptionLQRelayData, OptionClientFQDN)),
		}),
		MessageLeasequeryReply:  options(t, ClientID(duidEN), ServerID(duidLLT), about),
		MessageLeasequeryData:   options(t, about),
		MessageLeasequeryDone:   options(t, StatusCode{Status: StatusQueryTerminated, Text: "stale"}, BaseTime(9)),
		MessageActiveLeasequery: options(t, ClientID(duidEN), StartTime(1), EndTime(2), NewORO(OptionLQBaseTime)),
		MessageStartTLS:         nil,
		MessageReply: options(t, ServerID(duidEN), NewLQClientLink(addr("2001:db8::"), addr("::")), VSS{Type: VSSGlobal}, NewERO(1), SubscriberID("s"),
			RelayID(duidEN), ClientLinkLayer{Type: 1, Address: []byte{1, 2, 3, 4, 5, 6}}, RelayPort(1000), InterfaceID("e0")),
	} {
		b, _ := Message{Type: kind, TransactionID: TransactionID{1, 2, 3}, Options: o}.AppendBinary(nil)
		out = append(out, b)
	}
	return append(out, query, relayed, relayedQuery, data)
}

// What is read is written again octet for octet, at every depth; what is refused is refused with an offset inside it.
func FuzzMessage(f *testing.F) {
	for _, m := range seedMessages(f) {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMessage(b)
		if err != nil {
			var e *ParseError
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(b) {
				t.Fatalf("error %#v does not say where", err)
			}
			if len(b) >= messageHeaderOctets && Options(b[messageHeaderOctets:]).Validate() == nil {
				t.Fatalf("well-framed message refused: %v", err)
			}
			return
		}
		again, err := m.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, b) || m.Length() != len(b) {
			t.Fatalf("written again as % x, error %v", again, err)
		}
		newCensus().take(t, m.Options)
		second, err := ParseMessage(again)
		if err != nil || second.Type != m.Type || second.TransactionID != m.TransactionID || !bytes.Equal(second.Options, m.Options) {
			t.Fatalf("read again as %+v, error %v", second, err)
		}
	})
}

// A chain is its levels, each whole inside the one outside it, 32 at most.
func FuzzRelay(f *testing.F) {
	for _, m := range seedMessages(f) {
		f.Add(m)
	}
	for _, depth := range []int{8, 32, 33} {
		_, m := chain(f, depth, query)
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		levels, inner, err := ParseRelayChain(b)
		if err != nil {
			var e *ParseError
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(b) || levels != nil || inner != nil {
				t.Fatalf("%d levels, error %#v does not say where", len(levels), err)
			}
			return
		}
		if len(levels) == 0 || len(levels) > hopCountLimit {
			t.Fatalf("%d levels", len(levels))
		}
		rest := b
		for i, l := range levels {
			again, err := l.AppendBinary(nil)
			if err != nil || !bytes.Equal(again, rest) || l.Length() != len(rest) {
				t.Fatalf("level %d written again as % x, error %v; want % x", i, again, err, rest)
			}
			rest, _ = l.Inner()
		}
		if !bytes.Equal(rest, inner) {
			t.Fatalf("carries % x, want % x", inner, rest)
		}
		newCensus().takeRelayed(t, b)
	})
}

// cutFrames is a second, plainer way to take a stream apart.
func cutFrames(b []byte) (messages [][]byte, end error) {
	for len(b) > 0 {
		if len(b) == 1 {
			return messages, io.ErrUnexpectedEOF
		}
		size := int(binary.BigEndian.Uint16(b))
		if size < 4 {
			return messages, ErrShortFrame
		}
		if len(b) < 2+size {
			return messages, io.ErrUnexpectedEOF
		}
		messages, b = append(messages, b[2:2+size]), b[2+size:]
	}
	return messages, io.EOF
}

// However a stream is cut, and through whatever buffer, it gives the same messages and the same end.
func FuzzReader(f *testing.F) {
	var all []byte
	for _, m := range seedMessages(f) {
		all = append(append(all, byte(len(m)>>8), byte(len(m))), m...)
	}
	f.Add(all, []byte{1}, uint16(0))
	f.Add(all, []byte{200, 0, 3}, uint16(6))
	f.Add(all[:len(all)-1], []byte{255}, uint16(100))
	f.Add([]byte{0, 4, 16, 1, 2, 3, 0, 3, 16, 1, 2}, []byte{5, 1}, uint16(9))
	f.Add([]byte{0xff, 0xff, 1}, []byte{}, uint16(7))
	f.Fuzz(func(t *testing.T, b, cuts []byte, buffer uint16) {
		want, end := cutFrames(b)
		p := &pieces{b: b, lengths: []int{1 << 20}}
		for _, c := range cuts {
			p.lengths = append(p.lengths, int(c))
		}
		frames := NewReader(p, make([]byte, buffer))
		for i, m := range want {
			if got, err := frames.Next(); err != nil || !bytes.Equal(got, m) {
				t.Fatalf("message %d is % x, error %v; want % x", i, got, err, m)
			}
		}
		if got, err := frames.Next(); got != nil || !errors.Is(err, end) {
			t.Fatalf("after %d messages: % x, error %v; want %v", len(want), got, err, end)
		}
		if len(frames.buf) > max(maxBuffer, int(buffer)) {
			t.Fatalf("the buffer grew to %d octets", len(frames.buf))
		}
	})
}
