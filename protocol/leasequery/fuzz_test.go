package leasequery_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// FuzzBegin: whatever the octets of a message, it is discarded or answered, and every message of the answer is one that a
// requestor can read: a REPLY, then DATA, then DONE, none longer than its transport carries.
func FuzzBegin(f *testing.F) {
	for _, seed := range [][]byte{
		addressQuery("::", "2001:db8:1::b", oro(optRelayData, optBaseTime)), clientQuery("::", "client-a"), relayQuery("2001:db8:1::", "relay-1"),
		linkQuery("2001:db8:ffff::1"), remoteQuery("::", cat(u32(9), []byte("port-1"))), query(), query(lq(9, "::")), msg(msgReply),
		query(opt(optStartTime, u32(1)), opt(optEndTime, u32(2)), oro(optBaseTime), lq(byClientID, "::", opt(optClientID, []byte("a")), opt(optVSS, []byte{255}))),
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	w := house()
	f.Fuzz(func(t *testing.T, message []byte, udp bool) {
		if _, err := dhcpv6.ParseMessage(message); err != nil {
			return // discarded before
		}
		over, longest := leasequery.TCP, 65535
		if udp {
			over, longest = leasequery.UDP, 65527
		}
		id := bytes.Clone(message[1:4])
		a, err := w.begin(over, nil, bytes.Clone(message))
		if err != nil {
			if !errors.Is(err, leasequery.ErrDiscard) || a != nil {
				t.Fatalf("got %v, %v", a, err)
			}
			return
		}
		defer a.Close()
		for n, more := 0, true; more; n++ {
			var b []byte
			if b, more, err = a.Next(nil); err != nil {
				t.Fatal(err)
			}
			m, err := dhcpv6.ParseMessage(b)
			want := dhcpv6.MessageLeasequeryData
			switch {
			case n == 0:
				want = dhcpv6.MessageLeasequeryReply
			case !more:
				want = dhcpv6.MessageLeasequeryDone
			}
			if err != nil || m.Type != want || !bytes.Equal(m.TransactionID[:], id) || len(b) > longest || udp && more {
				t.Fatalf("message %d: %x, %v", n, b, err)
			}
		}
	})
}
