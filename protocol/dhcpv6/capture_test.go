package dhcpv6

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	oracle "github.com/insomniacslk/dhcp/dhcpv6"
)

// What servers, relays and clients said over UDP is read, and written again octet for octet, by us and by another decoder. The
// captures were taken from Kea 2.2.0 and 3.3.1; tshark counts the same messages and options in them.
func TestCapturedExchanges(t *testing.T) {
	for path, want := range map[string]struct {
		messages map[MessageType]int
		options  map[OptionCode]int
	}{
		"testdata/kea-2.2/exchange.pcap": {
			map[MessageType]int{1: 56, 2: 56, 3: 56, 5: 15, 7: 86, 8: 9, 9: 6, 12: 167, 13: 167},
			map[OptionCode]int{1: 284, 2: 228, 3: 278, 5: 208, 6: 41, 8: 142, 9: 334, 13: 26, 18: 318, 25: 98, 26: 76, 37: 137, 38: 51, 39: 17, 53: 121, 79: 51},
		},
		"testdata/kea-3.3/exchange.pcap": {
			map[MessageType]int{1: 56, 2: 56, 3: 56, 5: 15, 7: 86, 8: 9, 9: 6, 12: 174, 13: 174, 36: 7, 37: 7},
			map[OptionCode]int{1: 298, 2: 235, 3: 278, 5: 222, 6: 41, 8: 142, 9: 348, 13: 26, 18: 332, 25: 98, 26: 76, 37: 144, 38: 58, 39: 17, 53: 128, 79: 58},
		},
	} {
		t.Run(path, func(t *testing.T) {
			c := newCensus()
			messages := map[MessageType]int{}
			for i, d := range readCapture(t, path) {
				if d.protocol != udp {
					t.Fatalf("packet %d is not UDP", i+1)
				}
				c.takeRelayed(t, d.payload)
				for _, kind := range takeApart(t, d.payload) {
					messages[kind]++
				}
				theirs, err := oracle.FromBytes(d.payload)
				if err != nil {
					t.Errorf("packet %d: the other decoder: %v", i+1, err)
				} else if again := theirs.ToBytes(); !bytes.Equal(again, d.payload) {
					t.Errorf("packet %d: the other decoder wrote\n% x, captured is\n% x", i+1, again, d.payload)
				}
			}
			if diff := cmp.Diff(want.messages, messages); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want.options, c.options); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
			if len(c.refused) > 0 {
				t.Errorf("refused options: %v", c.refused)
			}
		})
	}
}

// takeApart proves that a chain's levels and its innermost message are the octets they came from, and lists their types.
func takeApart(t *testing.T, b []byte) (types []MessageType) {
	t.Helper()
	inner := b
	if MessageType(b[0]) == MessageRelayForward || MessageType(b[0]) == MessageRelayReply {
		levels, carried, err := ParseRelayChain(b)
		if err != nil {
			t.Fatalf("relay chain: %v", err)
		}
		for i, l := range levels {
			if again, _ := l.AppendBinary(nil); !bytes.Equal(again, inner) {
				t.Errorf("level %d % x was written again as % x", i, inner, again)
			}
			types = append(types, l.Type)
			inner, _ = l.Inner()
		}
		if !bytes.Equal(inner, carried) {
			t.Errorf("the chain carries % x, want % x", carried, inner)
		}
	}
	m, err := ParseMessage(inner)
	if err != nil {
		t.Fatalf("message % x: %v", inner, err)
	}
	if again, _ := m.AppendBinary(nil); !bytes.Equal(again, inner) {
		t.Errorf("message % x was written again as % x", inner, again)
	}
	return append(types, m.Type)
}

// Eight bulk leasequeries that Kea 3.3.1's lease_query hook answered over TCP, read octet by octet.
func TestCapturedBulkLeasequery(t *testing.T) {
	order, streams := reassemble(t, readCapture(t, "testdata/kea-3.3/bulk-leasequery.pcap"))
	c := newCensus()
	messages := map[MessageType]int{}
	var queries []QueryType
	for _, d := range order {
		var again []byte
		frames := NewReader(iotest.OneByteReader(bytes.NewReader(streams[d])), nil)
		for {
			b, err := frames.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%v to %v: %v", d.from, d.to, err)
			}
			m, err := ParseMessage(b)
			if err != nil {
				t.Fatalf("%v to %v: message % x: %v", d.from, d.to, b, err)
			}
			messages[m.Type]++
			c.take(t, m.Options)
			if v, ok := m.Options.First(OptionLQQuery); ok {
				q, err := ParseLQQuery(v)
				if err != nil {
					t.Errorf("%v to %v: %v", d.from, d.to, err)
				}
				queries = append(queries, q.Type)
			}
			if again, err = AppendFrame(again, m); err != nil {
				t.Fatalf("append frame: %v", err)
			}
		}
		if !bytes.Equal(again, streams[d]) {
			t.Errorf("%v to %v: the stream was written again differently", d.from, d.to)
		}
	}
	if diff := cmp.Diff(map[MessageType]int{14: 8, 15: 8, 16: 5, 17: 197}, messages); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	// tshark counts these as we do; what is inside OPTION_LQ_RELAY_DATA, where 9, 18, 37, 38, 53 and 79 stand, it does not look into.
	maps.DeleteFunc(c.options, func(code OptionCode, _ int) bool {
		return slices.Contains([]OptionCode{9, 18, 37, 38, 53, 79}, code)
	})
	if diff := cmp.Diff(map[OptionCode]int{1: 219, 2: 8, 5: 125, 13: 8, 26: 78, 44: 8, 45: 202, 46: 202, 47: 202}, c.options); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	if len(c.refused) > 0 {
		t.Errorf("refused options: %v", c.refused)
	}
	want := []QueryType{QueryByRemoteID, QueryByRelayID, QueryByClientID, QueryByAddress, QueryByLinkAddress, QueryByLinkAddress, QueryByLinkAddress, QueryByRelayID}
	if diff := cmp.Diff(want, queries); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
}
