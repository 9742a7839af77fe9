//go:build linux

package bulk

import (
	"fmt"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/leasehold/leasehold/fsm/binding"
)

// What Kea 3.3 was seen to get wrong, and what its relays' operators would notice first if we did too. Its one lease a message,
// its relay data, lifetimes and prefixes that do not contain the address are in the tests of rules 1, 2, 6 and 8.

// From its second page of 100 leases on, Kea's by-relay-id and by-remote-id also return leases that have ended.
func TestKeaEndedLeasesBehindTheFirstPage(t *testing.T) {
	const clients = 450
	chain := onRelay("2001:db8:1::", "relay-1", "port-1")
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}))
	for n := range clients {
		c := lease(binding.NA, fmt.Sprintf("2001:db8:1::%x", n+1), fmt.Sprintf("client-%d", n), chain)
		w.put(t, c)
		if n%3 == 0 {
			c.Event, c.Reason = binding.End, []binding.State{binding.Released, binding.Declined, binding.Expired}[n/3%3]
			w.put(t, c)
		}
	}
	s := serve(t, w, Config{})
	for _, q := range [][]byte{
		lq(qRelayID, "::", opt(optRelayID, []byte("relay-1"))),
		lq(qRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-1"))),
		lq(qLink, "2001:db8:1::"),
	} {
		c := dialWire(t, s.addr)
		c.send(lqMsg(1, q))
		seen := map[string]bool{}
		for {
			b := c.next()
			if b[2] == msgDone {
				break
			}
			body := b[6:]
			if b[2] == msgAnswer {
				body = body[8+len(requestorID)+len(clusterID):]
			}
			seen[string(body[8:8+int(body[7])])] = true // the client's DUID
		}
		if len(seen) != clients/3*2 {
			t.Errorf("%d clients, want %d", len(seen), clients/3*2)
		}
		for n := 0; n < clients; n += 3 {
			if seen[fmt.Sprintf("client-%d", n)] {
				t.Errorf("client %d is shown, whose lease has ended", n)
			}
		}
	}
}

// A relay's own link-address outside the subnets is unknown to Kea, and a shared network is not one link.
func TestKeaRelayAddressesAndSharedNetworks(t *testing.T) {
	s := serve(t, house(t), Config{})
	s.ask(t, lqMsg(1, lq(qLink, "2001:db8:ffff::1")), answerOK(1, clientBOn1), msg(msgData, 1, clientAOn1), done(1))
	for _, a := range []string{"2001:db8:2::", "2001:db8:3::", "2001:db8:3::1234"} {
		s.ask(t, lqMsg(1, lq(qLink, a)), answerOK(1, clientAOn2), done(1))
	}
	t.Run("a link-address that only bindings tell of", func(t *testing.T) {
		w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}),
			at(lease(binding.NA, "2001:db8:1::1", "\x00\x01one", onRelay("2001:db8:eeee::1", "relay-1", "port-1")), "net1"))
		s := serve(t, w, Config{})
		s.ask(t, lqMsg(1, lq(qLink, "2001:db8:eeee::1")), answerOK(1, client("\x00\x01one", 100, leased("2001:db8:1::1"))), done(1))
	})
}

// One bad query closes Kea's connection for all; here it costs itself.
func TestKeaOneBadQuery(t *testing.T) {
	s := serve(t, many(t, 3000, 10), Config{})
	w := dialWire(t, s.addr)
	bad := [][]byte{
		lqMsg(2, lq(99, "::")), lqMsg(3, opt(optQuery, []byte{1})), lqMsg(4), msg(msgQuery, 5, lq(qLink, "2001:db8:ffff::1")),
		msg(200, 6), frame([]byte{msgQuery, 0, 0, 7, 0}), lqMsg(8, lq(qLink, "2001:dead::")),
	}
	w.send(lqMsg(1, lq(qLink, "2001:db8:ffff::1")), cat(bad...))
	messages := map[byte]int{}
	for messages[1] < 3001 {
		messages[w.next()[5]]++
	}
	if messages[2] != 1 || messages[3] != 1 || messages[8] != 1 || len(messages) != 4 {
		t.Errorf("messages by query: %v; want all of the good one and a status for 2, 3 and 8", messages)
	}
	w.expectOpen()
}

// A bulk answer of one lease takes Kea 44 ms, because it does not set TCP_NODELAY.
func TestKeaNagle(t *testing.T) {
	s := serve(t, house(t), Config{})
	w := dialWire(t, s.addr)
	w.expectOpen()
	want := map[string][3]int{
		"TCP_NODELAY":        {unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		"SO_KEEPALIVE":       {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"TCP_USER_TIMEOUT":   {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 0}, // it would end whoever has not read for so long
		"TCP_NOTSENT_LOWAT":  {unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, DefaultSendBuffer},
		"TCP_KEEPIDLE":       {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepAliveIdle.Seconds())},
		"TCP_KEEPINTVL":      {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepAliveInterval.Seconds())},
		"TCP_KEEPCNT probes": {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
	}
	s.admission.each(func(c *conn) {
		raw, err := c.socket.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		err = raw.Control(func(fd uintptr) {
			for name, o := range want {
				if got, err := unix.GetsockoptInt(int(fd), o[0], o[1]); err != nil || got != o[2] {
					t.Errorf("%s is %d, %v; want %d", name, got, err, o[2])
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
