package dhcpv6

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var query = []byte{
	14,               // msg-type: LEASEQUERY
	0x01, 0x02, 0x03, // transaction-id
	0, 1, // OPTION_CLIENTID
	0, 1, // option-len
	7,     // DUID
	0, 44, // OPTION_LQ_QUERY
	0, 26, // option-len
	3,                                                          // query-type: QUERY_BY_RELAY_ID
	0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // link-address
	0, 53, // OPTION_RELAY_ID
	0, 5, // option-len
	0, 2, 0, 0, 9, // DUID
}

func TestMessage(t *testing.T) {
	want := Message{
		Type: MessageLeasequery, TransactionID: TransactionID{1, 2, 3},
		Options: options(t, ClientID{7}, LQQuery{
			Type: QueryByRelayID, LinkAddress: addr("2001:db8::"), Options: options(t, RelayID{0, 2, 0, 0, 9}),
		}),
	}
	m, err := ParseMessage(query)
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("parsed (-want +got):\n%s", diff)
	}
	got, err := want.AppendBinary([]byte("front"))
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	if diff := cmp.Diff(append([]byte("front"), query...), got); diff != "" {
		t.Errorf("appended (-want +got):\n%s", diff)
	}
	if want.Length() != len(query) {
		t.Errorf("Length is %d, the message has %d octets", want.Length(), len(query))
	}
}

// Every message type of leasequery, and others, keep their header; a message may have no options.
func TestMessageHeaders(t *testing.T) {
	for kind := range 256 {
		b := AppendHeader(nil, MessageType(kind), TransactionID{0xff, 0, 0x7f})
		if want := []byte{byte(kind), 0xff, 0, 0x7f}; !bytes.Equal(b, want) {
			t.Fatalf("header % x, want % x", b, want)
		}
		m, err := ParseMessage(b)
		if err != nil || m.Type != MessageType(kind) || m.TransactionID != (TransactionID{0xff, 0, 0x7f}) || len(m.Options) != 0 {
			t.Errorf("header % x was read as %+v, error %v", b, m, err)
		}
	}
}

func TestMessageCutShort(t *testing.T) {
	for n := range len(query) {
		m, err := ParseMessage(query[:n])
		switch {
		case n < 4:
			checkParseError(t, err, optionNone, n, ErrTruncated)
		case n == 4, n == 9: // between options
			if err != nil || m.Length() != n {
				t.Errorf("%d octets are a whole message, but were read as %d: %v", n, m.Length(), err)
			}
		case n == 5:
			checkParseError(t, err, optionNone, 4, ErrTruncated)
		case n < 9:
			checkParseError(t, err, OptionClientID, 4, ErrTruncated)
		case n == 10:
			checkParseError(t, err, optionNone, 9, ErrTruncated)
		default:
			checkParseError(t, err, OptionLQQuery, 9, ErrTruncated)
		}
	}
}

// A message is a view: nothing is copied, nothing is allocated, on the way in or out.
func TestMessageIsAView(t *testing.T) {
	b := bytes.Clone(query)
	m, err := ParseMessage(b)
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	b[8] = 99
	if v, _ := m.Options.First(OptionClientID); !bytes.Equal(v, []byte{99}) {
		t.Errorf("the client-id % x is a copy", v)
	}
	buf := make([]byte, 0, 128)
	if n := testing.AllocsPerRun(50, func() {
		m, _ := ParseMessage(b)
		_, _ = m.AppendBinary(buf)
		_, _ = AppendFrame(buf, m)
	}); n != 0 {
		t.Errorf("reading and writing a message allocates %v times", n)
	}
}

// The octets inside an option are its own parser's business: a message with a broken LQ_QUERY is still a message, so that it can
// be answered.
func TestMessageLeavesOptionsToTheirParsers(t *testing.T) {
	b := octets(query[:9], []byte{0, 44, 0, 1, 3})
	m, err := ParseMessage(b)
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	v, _ := m.Options.First(OptionLQQuery)
	if _, err := ParseLQQuery(v); !errors.Is(err, ErrLength) {
		t.Errorf("LQ_QUERY of one octet: error %v, want ErrLength", err)
	}
}
