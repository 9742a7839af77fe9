package leasequery_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// busy is a node with so many clients of one address and one prefix each, behind ten relays of one link.
func busy(b testing.TB, clients int) (*node, [][]binding.Change) {
	b.Helper()
	h := &history{window: time.Hour}
	n := h.node(1 << 20)
	h.add(now, "kea", define("one", []string{"2001:db8::/32"}, "2001:db8:ffff::1"))
	batches := make([][]binding.Change, 0, clients/256+1)
	var batch []binding.Change
	for c := range clients {
		relay := chain("2001:db8:ffff::1", level(0, "2001:db8:ffff::1", "fe80::c", opt(optInterfaceID, []byte("ge-0/0/1")),
			opt(optRelayID, []byte(fmt.Sprint("relay-", c%10))), opt(optRemoteID, u32(9), []byte("port-1"))))
		a, p := [16]byte(ip("2001:db8:1::")), [16]byte(ip("2001:db8:8000::"))
		binary.BigEndian.PutUint32(a[12:], uint32(c+1))
		binary.BigEndian.PutUint32(p[4:], 0x80000000|uint32(c)<<4)
		duid := fmt.Sprintf("client%08d", c)
		for _, k := range []binding.Binding{{Kind: binding.NA, Prefix: netip.PrefixFrom(netip.AddrFrom16(a), 128)},
			{Kind: binding.PD, Prefix: netip.PrefixFrom(netip.AddrFrom16(p), 60).Masked()}} {
			k.DUID, k.IAID, k.Preferred, k.Valid, k.LastTransaction, k.Chain = []byte(duid), 1, 3600, 7200, now, relay
			batch = append(batch, binding.Change{Event: binding.Upsert, Binding: k})
		}
		if len(batch) >= 512 || c == clients-1 {
			batches = append(batches, batch)
			batch = nil
		}
	}
	for _, changes := range batches {
		h.add(now, "kea", changes...)
	}
	n.follow(len(h.entries))
	return n, batches
}

// drain reads all there is, into one buffer of 64 KiB, and tells how many messages that was.
func drain(b testing.TB, s *leasequery.Subscription, buf []byte) (messages int) {
	for {
		out, more, err := s.Next(buf)
		if err != nil || !more {
			b.Errorf("subscription is over: %v", err)
			return messages
		}
		switch {
		case len(out) > len(buf):
			messages++
		case s.Waiting():
			return messages
		}
		if buf = out; len(buf) > 60<<10 {
			buf = buf[:0]
		}
	}
}

// BenchmarkSubscriptionCatchUp is catching up from the beginning: what a message costs, from the feed and from the state.
func BenchmarkSubscriptionCatchUp(b *testing.B) {
	const clients = 20_000
	for _, feed := range []int{1 << 20, 1} {
		b.Run(fmt.Sprintf("feed of %d", feed), func(b *testing.B) {
			full, _ := busy(b, clients)
			n := full.log.node(feed)
			n.follow(len(n.log.entries))
			buf := make([]byte, 0, 128<<10)
			b.ReportAllocs()
			b.ResetTimer()
			messages := 0
			for range b.N {
				s := n.subscribe(b, leasequery.Config{}, nil, active(oro(optRelayData), start(0)))
				messages += drain(b, s, buf)
				s.Close()
			}
			if messages != b.N*(clients+1) { // the first in the REPLY, one CatchUpComplete
				b.Fatalf("%d messages in %d rounds", messages, b.N)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(messages), "ns/message")
		})
	}
}

// BenchmarkSubscriptionFanOut is a batch of 256 renewed clients told to so many subscribers to everything, and to as many to one relay
// of ten.
func BenchmarkSubscriptionFanOut(b *testing.B) {
	for _, subscribers := range []int{1, 100} {
		for name, query := range map[string][]byte{"everything": oro(optRelayData), "one relay of ten": lq(byRelayID, "::", opt(optRelayID, []byte("relay-1")), oro(optRelayData))} {
			b.Run(fmt.Sprintf("%d to %s", subscribers, name), func(b *testing.B) {
				n, batches := busy(b, 20_000)
				var subs []*leasequery.Subscription
				buf := make([]byte, 0, 128<<10)
				for range subscribers {
					s := n.subscribe(b, leasequery.Config{}, nil, active(query))
					defer s.Close()
					drain(b, s, buf)
					subs = append(subs, s)
				}
				messages, applied := 0, time.Duration(0)
				b.ReportAllocs()
				b.ResetTimer()
				for round := range b.N {
					begun := time.Now()
					changes := batches[round%len(batches)]
					for i := range changes {
						changes[i].Binding.Stamp++
						changes[i].Binding.LastTransaction += 1000
					}
					n.log.entries = append(n.log.entries[:0], entry{now + binding.Time(round+1)*100, "kea", changes})
					n.done = 0
					n.follow(1)
					applied += time.Since(begun)
					for _, s := range subs {
						messages += drain(b, s, buf)
					}
				}
				told := b.Elapsed() - applied
				b.ReportMetric(float64(told.Nanoseconds())/float64(max(messages, 1)), "ns/message")
				b.ReportMetric(float64(told.Nanoseconds())/float64(b.N*subscribers*512), "ns/change/subscriber")
				b.ReportMetric(float64(messages)/float64(b.N*subscribers), "messages/batch/subscriber")
			})
		}
	}
}
