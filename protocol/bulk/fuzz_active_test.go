package bulk

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// FuzzSubscription sends octets to a server on which subscriptions are allowed, with one of them running before if the first octet says so,
// while the state changes; then it closes its half and reads to the end. Whatever came, what goes back is whole messages: one REPLY for each
// transaction, then only DATA, DONE last; the subscription from before gets its REPLY; and the connection ends.
func FuzzSubscription(f *testing.F) {
	everything, link := subscribe(1), subscribe(2, lq(qLink, "2001:db8:1::1"), start(0))
	f.Add(true, lqMsg(5, lq(qLink, "2001:db8:1::1")))
	f.Add(true, cat(everything, link, lqMsg(5, lq(qLink, "2001:db8:1::1"))))
	f.Add(true, cat(subscribe(subscriptionID), lqMsg(subscriptionID, lq(qLink, "2001:db8:1::1"))))
	f.Add(true, []byte{0, 200, msgActive})
	f.Add(true, []byte{0, 3, 1, 2, 3})
	f.Add(false, cat(lqMsg(5, lq(qLink, "2001:db8:1::1")), everything))
	f.Add(false, cat(everything, lqMsg(5, lq(qLink, "2001:db8:1::1")), everything))
	f.Add(false, subscribe(1, lq(qRelayID, "2001:db8:1::1", opt(optRelayID, []byte("relay-a")), opt(optORO, u16(optRelayData))), start(-5000)))
	f.Add(false, subscribe(1, opt(optStartTime, u32(1)), opt(optORO, u16(optBaseTime))))
	f.Add(false, subscribe(1, start(0), end(0)))
	f.Add(false, subscribe(1, lq(qAddress, "::", iaAddr("2001:db8:1::a", 0, 0)), opt(optVSS, []byte{255})))
	m := activeHouse(f)
	s := serveState(f, m, inClear(func(c *Config) {
		c.MaxConnections, c.MaxConnectionsPerRequestor, c.Active.MaxSubscriptions = 1000, 1000, 1000
	}), leasequery.Config{})
	var round atomic.Int64
	f.Fuzz(func(t *testing.T, before bool, input []byte) {
		c := dialDeadline(t, s.addr)
		var sending sync.WaitGroup
		defer sending.Wait()
		sending.Go(func() {
			// A server that has had enough may close first.
			if before {
				_, _ = c.Write(subscribe(subscriptionID))
			}
			_, _ = c.Write(input)
			m.put(t, 1, renewed(leaseB, int(round.Add(1))))
			_ = c.CloseWrite()
		})
		checkUpdates(t, c, before)
	})
}

// subscriptionID is the transaction-id of the subscription that runs before the octets come.
const subscriptionID = 0xabcdef

// checkUpdates reads to the end and checks the order of messages for each transaction-id.
func checkUpdates(t *testing.T, c net.Conn, subscribed bool) {
	t.Helper()
	open := map[dhcpv6.TransactionID]bool{}
	replied := false
	reset := eachMessage(t, c, func(frame []byte, m dhcpv6.Message) {
		_, based := m.Options.First(dhcpv6.OptionLQBaseTime)
		own := subscribed && m.TransactionID == dhcpv6.TransactionID{subscriptionID >> 16, subscriptionID >> 8 & 0xff, subscriptionID & 0xff}
		if own && !based {
			t.Fatalf("without base time: %x", frame)
		}
		switch was := open[m.TransactionID]; {
		case m.Type == dhcpv6.MessageReply:
		case m.Type == dhcpv6.MessageLeasequeryReply && !(own && was):
			open[m.TransactionID] = true
			replied = replied || own
		case m.Type == dhcpv6.MessageLeasequeryData && was:
		case m.Type == dhcpv6.MessageLeasequeryDone && was:
			open[m.TransactionID] = false
		default:
			t.Fatalf("%v for transaction-id %x, whose answer was open: %v", m.Type, m.TransactionID, was)
		}
	})
	if subscribed && !replied && !reset {
		t.Error("the subscription got no REPLY")
	}
}
