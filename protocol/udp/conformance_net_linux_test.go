package udp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// anybody is a requestor at any address.
func anybody() leasequery.Requestor {
	return leasequery.Requestor{Name: "anybody", Prefixes: []netip.Prefix{netip.MustParsePrefix("::/0")}, Relayed: true}
}

// serveAt runs a server on port 547 of every address of a host.
func serveAt(t testing.TB, h *netlab.Host, w *world, config Config, multicast ...string) *served {
	t.Helper()
	return serveRaw(t, h, w, config, true, multicast...)
}

// serveRaw is serveAt with or without a raw socket for fragments.
func serveRaw(t testing.TB, h *netlab.Host, w *world, config Config, raw bool, multicast ...string) *served {
	t.Helper()
	var conns []*net.UDPConn
	err := h.Do(func() (err error) {
		conns, err = Listen(context.Background(), netip.MustParseAddrPort("[::]:547"), 2, multicast)
		if err == nil && raw {
			config.Raw, err = OpenRaw(context.Background())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, conns, w, config, leasequery.Config{}, anybody())
}

// wireOn is a socket on a host.
func wireOn(t testing.TB, h *netlab.Host, at, to string) *wire {
	t.Helper()
	c, err := h.ListenPacket("udp6", at)
	if err != nil {
		t.Fatal(err)
	}
	return asWire(t, c.(*net.UDPConn), netip.MustParseAddrPort(to))
}

// add gives a host one more address.
func add(h *netlab.Host, address, iface string) {
	h.Run("ip", "address", "add", address, "dev", iface, "nodad")
}

// RFC 8415 18.3.10, rule 18: the answer leaves from the address that was asked, to the source's address and port; to a relay's port
// 547.
func TestRule18AnswersFromTheAddressAsked(t *testing.T) {
	lab := netlab.New(t)
	server, relay := lab.Host("server"), lab.Host("relay")
	add(server, "2001:db8:547::99/64", netlab.Interface)
	add(server, "2001:db8:99::1/128", "lo") // a service address, as failover moves it about
	relay.Run("ip", "route", "add", "2001:db8:99::1/128", "via", server.Addr.String())
	serveAt(t, server, house(t), Config{})
	query, want := ask(1, byAddress("::", "2001:db8:1::c")), answer(1, clientBOn1)
	for _, to := range []string{server.AddrPort(547), "[2001:db8:547::99]:547", "[2001:db8:99::1]:547"} {
		w := wireOn(t, relay, "[::]:0", to)
		w.exchange(query, want) // expect wants it from there
	}
	standard, other := wireOn(t, relay, "[::]:547", "[2001:db8:99::1]:547"), wireOn(t, relay, "[::]:0", "[2001:db8:99::1]:547")
	forw, repl := nested(query, want, 3)
	other.send(forw)
	standard.expect(repl)
	own := opt(optRelayPort, u16(0))
	other.exchange(relayed(msgRelayForw, 0, relay1, "fe80::1", query, own), relayed(msgRelayRepl, 0, relay1, "fe80::1", want, own))
}

// Link-local addresses on both sides.
func TestRule18LinkLocal(t *testing.T) {
	lab := netlab.New(t)
	server, relay := lab.Host("server"), lab.Host("relay")
	serveAt(t, server, house(t), Config{})
	zone := netip.MustParseAddrPort(onLink(t, relay, netlab.Interface)).Addr().Zone()
	to := netip.AddrPortFrom(linkLocal(t, server).WithZone(zone), 547)
	w := wireOn(t, relay, "[::]:547", to.String())
	query, want := ask(1, byAddress("::", "2001:db8:1::c")), answer(1, clientBOn1)
	sent := sniff(t, relay, netlab.Interface)
	forw, repl := nested(query, want, 1)
	for _, x := range [][2][]byte{{query, want}, {forw, repl}} {
		w.send(x[0])
		sent.udp(func(from, _ netip.Addr, payload []byte) bool {
			return from == to.Addr().WithZone("") && string(payload[8:]) == string(x[1])
		})
	}
}

// linkLocal is the link-local address of a host's interface.
func linkLocal(t testing.TB, h *netlab.Host) (a netip.Addr) {
	t.Helper()
	err := h.Do(func() error {
		i, err := net.InterfaceByName(netlab.Interface)
		if err != nil {
			return err
		}
		addrs, err := i.Addrs()
		for _, x := range addrs {
			if p, ok := x.(*net.IPNet); ok && p.IP.IsLinkLocalUnicast() {
				a, _ = netip.AddrFromSlice(p.IP)
			}
		}
		return err
	})
	if err != nil || !a.Is6() {
		t.Fatalf("link-local address of %s: %v, %v", h.Name, a, err)
	}
	return a
}

// RFC 8415 18.3.10: where the routes leave a choice, a direct answer leaves by the interface that the query came by; where they leave
// none, by the one that they name. (Linux takes the interface as a wish once the source address is given, too.)
func TestRFC8415AnswerLeavesByTheReceivingInterface(t *testing.T) {
	lab := netlab.New(t)
	server, relay := lab.Host("server"), lab.Host("relay")
	server.Run("ip", "link", "add", "away", "type", "veth", "peer", "name", "nowhere")
	for _, name := range []string{"away", "nowhere"} {
		server.Run("ip", "link", "set", name, "up")
	}
	s := serveAt(t, server, house(t), Config{})
	query, want := ask(1, byAddress("::", "2001:db8:1::c")), answer(1, clientBOn1)

	// Two ways of the same price back to each of these; by one of them nobody would get it.
	server.Run("ip", "neighbor", "add", relay.Addr.String(), "lladdr", "02:00:00:00:00:01", "dev", "away")
	server.Run("ip", "route", "del", "2001:db8:547::/64", "dev", netlab.Interface)
	server.Run("ip", "route", "add", "2001:db8:547::/64", "dev", "away", "metric", "7")
	server.Run("ip", "route", "append", "2001:db8:547::/64", "dev", netlab.Interface, "metric", "7")
	w := wireOn(t, relay, "[::]:0", server.AddrPort(547))
	for range 8 {
		w.exchange(query, want)
	}

	// A requestor that no way leads to by the interface that it came by.
	add(relay, "2001:db8:77::1/128", "lo")
	server.Run("ip", "route", "add", "2001:db8:77::1/128", "dev", "away")
	server.Run("ip", "neighbor", "add", "2001:db8:77::1", "lladdr", "02:00:00:00:00:01", "dev", "away")
	away := sniff(t, server, "nowhere")
	far := wireOn(t, relay, "[2001:db8:77::1]:0", server.AddrPort(547))
	far.send(query)
	away.udp(func(from, to netip.Addr, payload []byte) bool {
		return from == server.Addr && to == netip.MustParseAddr("2001:db8:77::1") && string(payload[8:]) == string(want)
	})
	if n := s.metric(MetricSendErrors, ""); n != 0 {
		t.Errorf("%v send errors", n)
	}
}

// manyLeases is a client with so many addresses, from a number on, and what is said of them.
func manyLeases(t testing.TB, w *world, duid string, first, n int) (said []byte) {
	t.Helper()
	for i := range n {
		a := "2001:db8:1::" + hex4(first+i)
		w.put(t, lease(0, a, duid, nil))
		said = append(said, leased(a)...)
	}
	return said
}

// Rule 18: an answer whose packet would be larger than the smallest MTU comes in fragments of 1,280 octets at most, whatever the link
// carries, and whole; also where it was asked for at a service address. Without a raw socket the system cuts what its own link does
// not carry.
func TestRule18FragmentedAt1280(t *testing.T) {
	lab := netlab.New(t)
	cutting, plain, relay := lab.Host("cutting"), lab.Host("plain"), lab.Host("relay")
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}))
	large, medium := manyLeases(t, w, clientA, 0x1000, 300), manyLeases(t, w, clientB, 0x2000, 42)
	huge := manyLeases(t, w, "\x00\x01client-c", 0x3000, 2300)
	fits := manyLeases(t, w, "\x00\x01client-d", 0x8000, 40) // a packet of 1,239 octets
	serveRaw(t, cutting, w, Config{}, true)
	serveRaw(t, plain, w, Config{}, false)
	add(cutting, "2001:db8:99::1/128", "lo")
	relay.Run("ip", "route", "add", "2001:db8:99::1/128", "via", cutting.Addr.String())
	toLarge, toMedium := ask(1, byClientID("::", clientA)), ask(2, byClientID("::", clientB))
	largeAnswer, mediumAnswer := answer(1, client(clientA, 100, large)), answer(2, client(clientB, 100, medium))
	toHuge, hugeAnswer := ask(3, byClientID("::", "\x00\x01client-c")), answer(3, client("\x00\x01client-c", 100, huge))
	toFits, fitsAnswer := ask(4, byClientID("::", "\x00\x01client-d")), answer(4, client("\x00\x01client-d", 100, fits))
	forw, repl := nested(toLarge, largeAnswer, 2)
	if n := len(mediumAnswer) + ipv6Header + udpHeader; n <= minMTU || n >= 1500 {
		t.Fatalf("a medium packet has %d octets", n)
	}
	c := wireOn(t, relay, "[::]:547", cutting.AddrPort(547))
	for _, tc := range []struct {
		server        string
		mtu           int // the link's
		query, answer []byte
		fragmented    bool
	}{
		{cutting.AddrPort(547), 1500, toFits, fitsAnswer, false},
		{cutting.AddrPort(547), 1500, toMedium, mediumAnswer, true},
		{cutting.AddrPort(547), 1500, toLarge, largeAnswer, true},
		{cutting.AddrPort(547), 1500, toHuge, hugeAnswer, true},
		{cutting.AddrPort(547), 1500, forw, repl, true},
		{"[2001:db8:99::1]:547", 1500, toMedium, mediumAnswer, true},
		{"[2001:db8:99::1]:547", 1280, toMedium, mediumAnswer, true},
		{cutting.AddrPort(547), 1280, forw, repl, true},
		{plain.AddrPort(547), 1280, toMedium, mediumAnswer, true},
		{plain.AddrPort(547), 1500, toMedium, mediumAnswer, false},
		{plain.AddrPort(547), 1500, toLarge, largeAnswer, true},
	} {
		for _, h := range []*netlab.Host{cutting, plain, relay} {
			h.Run("ip", "link", "set", netlab.Interface, "mtu", strconv.Itoa(tc.mtu))
		}
		c.to = netip.MustParseAddrPort(tc.server)
		passing := sniff(t, relay, netlab.Interface)
		c.exchange(tc.query, tc.answer)
		for last := false; !last; {
			p := passing.udp(func(from, _ netip.Addr, _ []byte) bool { return from == c.to.Addr() })
			fragment := p[6] == unix.IPPROTO_FRAGMENT
			if fragment != tc.fragmented || fragment && len(p) > minMTU {
				t.Errorf("%s on a link of %d: a packet of %d octets, fragment %v, want %v", tc.server, tc.mtu, len(p), fragment, tc.fragmented)
			}
			last = !fragment || p[43]&1 == 0 // no more fragments
		}
	}
}

// Where a router on the way takes less than the server's link, the first answer that is too large for it is lost, and the requestor,
// who asks again, gets it in fragments (RFC 8201).
func TestRule18PathMTU(t *testing.T) {
	lab := netlab.New(t)
	server, relay := lab.Host("server"), lab.Host("relay")
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}))
	medium := manyLeases(t, w, clientB, 1, 47)
	serveRaw(t, server, w, Config{}, false)
	// The relay's own interface is the router: what is behind it, on a link of 1,280, is routed to.
	relay.Sysctl("net/ipv6/conf/all/forwarding", "1")
	relay.Run("ip", "link", "add", "narrow", "mtu", "1280", "type", "veth", "peer", "name", "far", "mtu", "1280")
	far := lab.Host("far")
	relay.Run("ip", "link", "set", "far", "netns", far.Namespace())
	far.Run("ip", "link", "set", netlab.Interface, "down")
	far.Run("ip", "link", "set", "far", "up")
	relay.Run("ip", "link", "set", "narrow", "up")
	add(relay, "2001:db8:55::1/64", "narrow")
	add(far, "2001:db8:55::2/64", "far")
	far.Run("ip", "route", "add", "default", "via", "2001:db8:55::1")
	server.Run("ip", "route", "add", "2001:db8:55::/64", "via", relay.Addr.String())
	query, want := ask(2, byClientID("::", clientB)), answer(2, client(clientB, 100, medium))
	passing := sniff(t, server, netlab.Interface)
	wire := wireOn(t, far, "[::]:0", server.AddrPort(547))
	wire.send(query)
	passing.packet(func(p []byte) bool { return p[6] == unix.IPPROTO_ICMPV6 && p[40] == 2 }) // Packet Too Big
	wire.exchange(query, want)
}

// RFC 5007 4.3.2, rule 18: queries to All_DHCP_Servers, and on the link to All_DHCP_Relay_Agents_and_Servers, are answered by the
// leader alone, from an address of its own, and by nobody where that is off.
func TestRule18MulticastIsAnsweredByTheLeader(t *testing.T) {
	lab := netlab.New(t)
	leader, follower, off, relay := lab.Host("leader"), lab.Host("follower"), lab.Host("off"), lab.Host("relay")
	w := house(t)
	one := serveAt(t, leader, w, Config{Leader: func() bool { return true }}, netlab.Interface)
	two := serveAt(t, follower, w, Config{Leader: func() bool { return false }}, netlab.Interface)
	three := serveAt(t, off, w, Config{})
	relay.Run("ip", "-6", "route", "add", "multicast", "ff05::/16", "dev", netlab.Interface, "table", "local")
	for n, group := range []string{"[ff05::1:3]:547", onLink(t, relay, netlab.Interface)} {
		wire := wireOn(t, relay, netip.AddrPortFrom(relay.Addr, 547).String(), group)
		query, want := ask(n, byAddress("::", "2001:db8:1::c")), answer(n, clientBOn1)
		forw, repl := nested(query, want, 1)
		for _, x := range [][2][]byte{{query, want}, {forw, repl}} {
			wire.send(x[0])
			got, from := wire.next()
			if string(got) != string(x[1]) || !slices.Contains([]netip.Addr{leader.Addr}, from.Addr()) || from.Port() != 547 {
				t.Errorf("%s: %x from %v, want %x from %v", group, got, from, x[1], leader.Addr)
			}
		}
		until(t, "the follower has counted them", func() bool { return two.metric(MetricDiscarded, discardNotLeader) == float64(2*(n+1)) })
		wire.to = netip.MustParseAddrPort(leader.AddrPort(547))
		wire.silent() // nothing else came
		if err := wire.c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := three.metric(MetricReceived, ""); n != 0 {
		t.Errorf("a server without multicast got %v datagrams", n)
	}
	if n := one.metric(MetricAnswers, ""); n != 6 {
		t.Errorf("%v answers of the leader, want 6: one for each query", n)
	}
}

// Another program's membership of the group brings nothing to a server that is not to answer multicast.
func TestRule18MulticastIsOffByDefault(t *testing.T) {
	lab := netlab.New(t)
	server, relay := lab.Host("server"), lab.Host("relay")
	s := serveAt(t, server, house(t), Config{})
	other, err := server.ListenPacket("udp6", "[::]:5470")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var index int
	if err := server.Do(func() error {
		i, err := net.InterfaceByName(netlab.Interface)
		if err != nil {
			return err
		}
		index = i.Index
		raw, err := other.(*net.UDPConn).SyscallConn()
		if err != nil {
			return err
		}
		var failed error
		err = raw.Control(func(fd uintptr) { failed = join(int(fd), allRelaysAndServers, index) })
		return errors.Join(err, failed)
	}); err != nil {
		t.Fatal(err)
	}
	passing := sniff(t, server, netlab.Interface)
	w := wireOn(t, relay, "[::]:0", onLink(t, relay, netlab.Interface))
	w.send(ask(1, byAddress("::", "2001:db8:1::c")))
	passing.udp(func(_, to netip.Addr, _ []byte) bool { return to == allRelaysAndServers })
	w.to = netip.MustParseAddrPort(server.AddrPort(547))
	w.silent()
	if n := s.metric(MetricReceived, ""); n != 1 {
		t.Errorf("%v datagrams came on interface %d, want the last one only", n, index)
	}
	if err := w.c.SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
}

// On loopback, as `leasehold dev` is asked.
func TestRule18FragmentedOnLoopback(t *testing.T) {
	raw, err := OpenRaw(context.Background())
	if errors.Is(err, os.ErrPermission) {
		t.Skip("a raw socket needs root")
	}
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld().put(t, link("net1", []string{"2001:db8:1::/64"}))
	large := manyLeases(t, w, clientA, 0x1000, 300)
	s := serve(t, w, Config{Raw: raw})
	s.dial(t).exchange(ask(1, byClientID("::", clientA)), answer(1, client(clientA, 100, large)))
	if n := s.metric(MetricFragmented, ""); n != 1 {
		t.Errorf("%v answers fragmented, want 1", n)
	}
}
