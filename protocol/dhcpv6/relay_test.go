package dhcpv6

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var relayed = []byte{
	12,                                                         // msg-type: RELAY-FORW
	1,                                                          // hop-count
	0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // link-address
	0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, // peer-address
	0, 18, // OPTION_INTERFACE_ID
	0, 2, // option-len
	'e', '1', // interface-id
	0, 9, // OPTION_RELAY_MSG
	0, 4, // option-len
	14, 1, 2, 3, // DHCP-relay-message: LEASEQUERY, transaction-id
	0, 135, // OPTION_RELAY_PORT
	0, 2, // option-len
	0, 0, // downstream source port
}

func TestRelayMessage(t *testing.T) {
	want := RelayMessage{
		Type: MessageRelayForward, HopCount: 1, LinkAddress: addr("2001:db8::1"), PeerAddress: addr("fe80::2"),
		Options: octets(options(t, InterfaceID("e1")), []byte{0, 9, 0, 4, 14, 1, 2, 3}, options(t, RelayPort(0))),
	}
	m, err := ParseRelayMessage(relayed)
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	if diff := cmp.Diff(want, m, equate); diff != "" {
		t.Errorf("parsed (-want +got):\n%s", diff)
	}
	got, err := want.AppendBinary([]byte("front"))
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	if diff := cmp.Diff(append([]byte("front"), relayed...), got); diff != "" {
		t.Errorf("appended (-want +got):\n%s", diff)
	}
	if want.Length() != len(relayed) {
		t.Errorf("Length is %d, the message has %d octets", want.Length(), len(relayed))
	}
	if inner, ok := m.Inner(); !ok || !bytes.Equal(inner, []byte{14, 1, 2, 3}) {
		t.Errorf("inner message % x, %v", inner, ok)
	}
}

func TestRelayMessageRefused(t *testing.T) {
	for n := range len(relayed) {
		m, err := ParseRelayMessage(relayed[:n])
		switch {
		case n < 34:
			checkParseError(t, err, optionNone, n, ErrTruncated)
		case n == 34, n == 40, n == 48: // between options
			if err != nil || m.Length() != n {
				t.Errorf("%d octets are a whole message, but were read as %d: %v", n, m.Length(), err)
			}
		case n == 35, n == 41, n == 49:
			checkParseError(t, err, optionNone, n-1, ErrTruncated)
		case n < 40:
			checkParseError(t, err, OptionInterfaceID, 34, ErrTruncated)
		case n < 48:
			checkParseError(t, err, OptionRelayMessage, 40, ErrTruncated)
		default:
			checkParseError(t, err, OptionRelaySourcePort, 48, ErrTruncated)
		}
	}
	for kind := range 256 {
		b := bytes.Clone(relayed)
		b[0] = byte(kind)
		_, err := ParseRelayMessage(b)
		if kind == 12 || kind == 13 {
			if err != nil {
				t.Errorf("message type %d: %v", kind, err)
			}
			continue
		}
		checkParseError(t, err, optionNone, 0, ErrValue)
	}
}

func TestRelayHeaderWithoutAddresses(t *testing.T) {
	got := AppendRelayHeader(nil, MessageRelayReply, 8, netip.Addr{}, addr("fe80::1%eth0"))
	want := octets([]byte{13, 8}, make([]byte, 16), []byte{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	if !bytes.Equal(got, want) {
		t.Errorf("header % x, want % x", got, want)
	}
}

// levelOf is the level of a chain of depth relays that is i relays from the outermost; each is different.
func levelOf(i, depth int) RelayMessage {
	return RelayMessage{
		Type: MessageRelayForward, HopCount: uint8(depth - 1 - i),
		LinkAddress: netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)}), PeerAddress: netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(i)}),
	}
}

// chain nests levels, outermost first, around an innermost message, which may be nil; each level has an interface-id in front of
// what it carries and a remote-id behind.
func chain(t testing.TB, depth int, inner []byte) ([]RelayMessage, []byte) {
	t.Helper()
	levels := make([]RelayMessage, depth)
	message := inner
	for i := depth - 1; i >= 0; i-- {
		levels[i] = levelOf(i, depth)
		levels[i].Options = options(t, InterfaceID(fmt.Sprintf("port %d", i)))
		if message != nil {
			b, err := AppendOption(levels[i].Options, OptionRelayMessage, message)
			if err != nil {
				t.Fatalf("append OPTION_RELAY_MSG: %v", err)
			}
			levels[i].Options = b
		}
		levels[i].Options = append(levels[i].Options, options(t, RemoteID{Enterprise: uint32(i), ID: []byte{1}})...)
		message, _ = levels[i].AppendBinary(nil)
	}
	return levels, message
}

func sameLevel(a, b RelayMessage) bool {
	return a.Type == b.Type && a.HopCount == b.HopCount && a.LinkAddress == b.LinkAddress && a.PeerAddress == b.PeerAddress &&
		bytes.Equal(a.Options, b.Options)
}

func TestRelayChainOfEveryDepth(t *testing.T) {
	for depth := 1; depth <= 34; depth++ {
		for _, inner := range [][]byte{query, nil, {}} {
			want, message := chain(t, depth, inner)
			levels, got, err := ParseRelayChain(message)
			if depth > 32 {
				if levels != nil || got != nil || !errors.Is(err, ErrTooDeep) {
					t.Errorf("%d relays: %d levels, error %v; want ErrTooDeep", depth, len(levels), err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%d relays: %v", depth, err)
			}
			for i, l := range levels[1:] { // an append to a level's options must not write into the level around it
				if cap(l.Options) != len(l.Options) {
					t.Fatalf("%d relays: options of level %d, %d octets, have room for %d", depth, i+1, len(l.Options), cap(l.Options))
				}
			}
			if !slices.EqualFunc(want, levels, sameLevel) {
				t.Errorf("%d relays were read as\n%v, want\n%v", depth, levels, want)
			}
			if !bytes.Equal(got, inner) || (got == nil) != (inner == nil) {
				t.Errorf("%d relays carry % x, want % x", depth, got, inner)
			}
		}
	}
}

// The same chain written in place, as a server does that nests RELAY-REPL levels.
func TestRelayChainWrittenInPlace(t *testing.T) {
	const depth = 32
	_, want := chain(t, depth, query)
	var dst []byte
	var marks [depth]int
	for i := range depth {
		l := levelOf(i, depth)
		dst = AppendRelayHeader(dst, l.Type, l.HopCount, l.LinkAddress, l.PeerAddress)
		dst = append(dst, options(t, InterfaceID(fmt.Sprintf("port %d", i)))...)
		dst, marks[i] = OpenOption(dst, OptionRelayMessage)
	}
	dst = append(dst, query...)
	for i := depth - 1; i >= 0; i-- {
		b, err := CloseOption(dst, marks[i])
		if err != nil {
			t.Fatalf("close level %d: %v", i, err)
		}
		dst = append(b, options(t, RemoteID{Enterprise: uint32(i), ID: []byte{1}})...)
	}
	if !bytes.Equal(dst, want) {
		t.Errorf("written in place: % x\nwant % x", dst, want)
	}
}

// An error deep in a chain tells the offset from the outermost octet.
func TestRelayChainErrorsCountFromTheOutermost(t *testing.T) {
	_, message := chain(t, 3, query)
	innermost := bytes.LastIndex(message, []byte{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}) - 18 // the third level's first octet
	broken := bytes.Clone(message)
	broken[innermost+34+3] = 0xff // the length of its interface-id
	_, _, err := ParseRelayChain(broken)
	checkParseError(t, err, OptionInterfaceID, innermost+34, ErrTruncated)

	short := octets(relayed[:40], []byte{0, 9, 0, 1, 13}) // a RELAY-REPL of one octet
	_, _, err = ParseRelayChain(short)
	checkParseError(t, err, optionNone, 44+1, ErrTruncated)

	_, deep := chain(t, 33, query)
	_, _, err = ParseRelayChain(deep)
	at := bytes.LastIndex(deep, []byte{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}) - 18
	checkParseError(t, err, OptionRelayMessage, at, ErrTooDeep)
}

// Cut at any octet, a chain is refused or read as the levels that are whole.
func TestRelayChainCutShort(t *testing.T) {
	_, message := chain(t, 4, query)
	for n := range message {
		levels, _, err := ParseRelayChain(message[:n])
		if err != nil {
			var e *ParseError
			if !errors.As(err, &e) || e.Offset > n || levels != nil {
				t.Errorf("%d octets: %d levels, error %v", n, len(levels), err)
			}
			continue
		}
		if again, _ := levels[0].AppendBinary(nil); !bytes.Equal(again, message[:n]) {
			t.Errorf("%d octets were read as %d", n, len(again))
		}
	}
}

// Of two OPTION_RELAY_MSG in a level the first is what it carries; both are kept.
func TestRelayMessageCarriesTheFirst(t *testing.T) {
	b := octets(relayed[:34], []byte{0, 9, 0, 4, 14, 0, 0, 1}, []byte{0, 9, 0, 4, 14, 0, 0, 2})
	levels, inner, err := ParseRelayChain(b)
	if err != nil || len(levels) != 1 || !bytes.Equal(inner, []byte{14, 0, 0, 1}) {
		t.Fatalf("%d levels around % x: %v", len(levels), inner, err)
	}
	if n := levels[0].Options.Count(OptionRelayMessage); n != 2 {
		t.Errorf("%d OPTION_RELAY_MSG are left of 2", n)
	}
}
