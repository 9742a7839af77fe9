package bulk

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// later is a world that has heard nothing for a while: its clock is the newest entry's, and what has passed since.
type later struct {
	*world
	passed binding.Time
}

func (l later) Now() binding.Time { return l.world.Now() + l.passed }

// Lifetimes are of cluster time, which goes on while nothing is written; no node's wall clock is anywhere near it here. With a
// base time they count from that, which is the view's.
func TestRule02ClusterTime(t *testing.T) {
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}), lease(binding.NA, "2001:db8:1::1", "\x00\x01one", nil))
	s := serveState(t, later{w, 30_000}, Config{}, leasequery.Config{})
	s.ask(t, lqMsg(1, lq(qLink, "2001:db8:1::")), answerOK(1, client("\x00\x01one", 130, iaAddr("2001:db8:1::1", 3470, 7070))), done(1))
	base := opt(optBaseTime, u32(nowBase))
	s.ask(t, lqMsg(2, lq(qLink, "2001:db8:1::", opt(optORO, u16(optBaseTime)))),
		answerOK(2, base, client("\x00\x01one", 100, leased("2001:db8:1::1"))), msg(msgDone, 2, base))
}

// The same state, come about in another order of the same news, is told in the same octets.
func TestRule03OrderIsTheSameOnEveryNode(t *testing.T) {
	news := orderNews()
	links, leases := news[:3], slices.Clone(news[3:])
	first := newWorld().put(t, links...).put(t, leases...)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(leases), func(i, j int) { leases[i], leases[j] = leases[j], leases[i] })
	second := newWorld().put(t, links...)
	for _, l := range leases {
		second.put(t, l)
	}
	queries := [][]byte{
		lq(qRelayID, "::", opt(optRelayID, []byte("relay-1"))), lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-1"))),
		lq(qLink, "2001:db8:1::"), lq(qClientID, "::", opt(optClientID, []byte("\x00\x01client-7"))),
	}
	for _, q := range queries {
		var answers [][]byte
		for _, w := range []*world{first, second} {
			c := dialWire(t, serve(t, w, Config{}).addr)
			c.send(lqMsg(1, q))
			var all []byte
			for {
				b := c.next()
				if all = append(all, b...); b[2] == msgDone {
					break
				}
			}
			answers = append(answers, all)
		}
		if !bytes.Equal(answers[0], answers[1]) {
			t.Errorf("query %x: two nodes answer in %d and %d octets that differ", q[:8], len(answers[0]), len(answers[1]))
		}
		if len(answers[0]) < 400 {
			t.Errorf("query %x: only %d octets", q[:8], len(answers[0]))
		}
	}
}

// orderNews is three links and, on each, twenty clients with addresses and prefixes, all behind one relay.
func orderNews() []binding.Change {
	changes := []binding.Change{
		link("net1", []string{"2001:db8:1::/64"}), link("net2", []string{"2001:db8:2::/64"}), link("net3", []string{"2001:db8:3::/64"}),
	}
	for n := range 60 {
		net, duid := string(rune('1'+n%3)), "\x00\x01client-"+string(rune('0'+n%10))
		chain := onRelay("2001:db8:"+net+"::9", "relay-1", "port-1")
		host := string("0123456789abcdef"[n/16]) + string("0123456789abcdef"[n%16])
		changes = append(changes, lease(binding.NA, "2001:db8:"+net+"::1"+host, duid, chain), lease(binding.TA, "2001:db8:"+net+"::"+host, duid, chain),
			at(lease(binding.PD, "2001:db8:a"+host+"::/56", duid, chain), "net"+net))
	}
	return changes
}
