package dhcpv6

import (
	"bytes"
	"fmt"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// The example session of RFC 5460 6.5.1: query 1 fails, query 2 ends before query 3 begins, the replies to 3 and 4 interleave.
func TestExampleSessionOfRFC5460(t *testing.T) {
	type step struct {
		kind MessageType
		xid  byte
	}
	session := []step{
		{MessageLeasequeryReply, 1},
		{MessageLeasequeryReply, 2}, {MessageLeasequeryData, 2}, {MessageLeasequeryData, 2}, {MessageLeasequeryDone, 2},
		{MessageLeasequeryReply, 4}, {MessageLeasequeryData, 4}, {MessageLeasequeryReply, 3}, {MessageLeasequeryData, 4},
		{MessageLeasequeryData, 3}, {MessageLeasequeryDone, 3}, {MessageLeasequeryData, 4}, {MessageLeasequeryDone, 4},
	}
	var wire []byte
	for i, s := range session {
		m := Message{Type: s.kind, TransactionID: TransactionID{2: s.xid}}
		switch {
		case i == 0:
			m.Options = options(t, ServerID(duidEN), ClientID(duidLLT), StatusCode{Status: StatusNotConfigured, Text: "no such link"})
		case s.kind == MessageLeasequeryReply:
			m.Options = options(t, ServerID(duidEN), ClientID(duidLLT), ClientData{Options: options(t, CLTTime(uint32(i)))})
		case s.kind == MessageLeasequeryData:
			m.Options = options(t, ClientData{Options: options(t, CLTTime(uint32(i)))})
		}
		var err error
		if wire, err = AppendFrame(wire, m); err != nil {
			t.Fatalf("append frame: %v", err)
		}
	}
	frames := NewReader(iotest.HalfReader(bytes.NewReader(wire)), nil)
	for i, want := range session {
		frame, err := frames.Next()
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		m, err := ParseMessage(frame)
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if got := (step{m.Type, m.TransactionID[2]}); got != want {
			t.Errorf("message %d is %v xid %d, want %v xid %d", i, got.kind, got.xid, want.kind, want.xid)
		}
		if m.Type == MessageLeasequeryDone && len(frame) != 4 {
			t.Errorf("LEASEQUERY-DONE has %d octets, want 4", len(frame))
		}
		value, _ := m.Options.First(OptionClientData)
		clt, _ := Options(value).First(OptionCLTTime)
		if seconds, err := ParseCLTTime(clt); m.Type == MessageLeasequeryData && (err != nil || int(seconds) != i) {
			t.Errorf("message %d has CLT_TIME %d, error %v", i, seconds, err)
		}
	}
}

// The relays of RFC 8357 6: Relay1 sends from port 1000, Relay2 tells so, Relay3 does not know the option. The server's reply goes
// back through the same levels with the options copied.
func TestCascadedRelaysOfRFC8357(t *testing.T) {
	client := []byte{1, 0, 0, 9} // SOLICIT
	relay := func(kind MessageType, hops uint8, o Options, carried []byte) []byte {
		t.Helper()
		o, err := AppendOption(o, OptionRelayMessage, carried)
		if err != nil {
			t.Fatalf("append OPTION_RELAY_MSG: %v", err)
		}
		b, _ := RelayMessage{Type: kind, HopCount: hops, LinkAddress: addr("::"), PeerAddress: addr(fmt.Sprintf("fe80::%d", hops)), Options: o}.AppendBinary(nil)
		return b
	}
	forward := relay(MessageRelayForward, 2, nil, // Relay3
		relay(MessageRelayForward, 1, options(t, RelayPort(1000)), // Relay2
			relay(MessageRelayForward, 0, options(t, RelayPort(0)), client))) // Relay1

	levels, inner, err := ParseRelayChain(forward)
	if err != nil || !bytes.Equal(inner, client) {
		t.Fatalf("%d levels around % x: %v", len(levels), inner, err)
	}
	var ports []string
	reply := []byte{7, 0, 0, 9} // REPLY
	for i := len(levels) - 1; i >= 0; i-- {
		l, port, copied := levels[i], "none", Options(nil)
		if v, ok := l.Options.First(OptionRelaySourcePort); ok {
			p, err := ParseRelayPort(v)
			if err != nil {
				t.Fatalf("relay %d: %v", i, err)
			}
			port, copied = fmt.Sprint(p), options(t, p)
		}
		ports = append(ports, port)
		reply = relay(MessageRelayReply, l.HopCount, copied, reply)
	}
	if diff := cmp.Diff([]string{"0", "1000", "none"}, ports); diff != "" {
		t.Errorf("downstream source ports, Relay1 first (-want +got):\n%s", diff)
	}
	want := bytes.ReplaceAll(bytes.ReplaceAll(forward, []byte{1, 0, 0, 9}, []byte{7, 0, 0, 9}), []byte{12, 0}, []byte{13, 0})
	want[0], want[38] = 13, 13 // Relay3's and Relay2's msg-type
	if !bytes.Equal(reply, want) {
		t.Errorf("reply % x\nwant  % x", reply, want)
	}
}

// RFC 7653 8.6.2: a reply to ACTIVELEASEQUERY with DataMissing and the server's base time.
func TestDataMissingOfRFC7653(t *testing.T) {
	m := Message{Type: MessageLeasequeryReply, TransactionID: TransactionID{2: 2}, Options: options(t,
		ServerID(duidOdd), ClientID(duidOdd), StatusCode{Status: StatusDataMissing}, BaseTime(0x32000000))}
	got, err := AppendFrame(nil, m)
	want := []byte{
		0, 28, // message-size
		15,      // msg-type: LEASEQUERY-REPLY
		0, 0, 2, // transaction-id
		0, 2, 0, 1, 0, // OPTION_SERVERID
		0, 1, 0, 1, 0, // OPTION_CLIENTID
		0, 13, 0, 2, 0, 12, // OPTION_STATUS_CODE: DataMissing
		0, 100, 0, 4, 0x32, 0, 0, 0, // OPTION_LQ_BASE_TIME
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}
