//go:build linux

package dnsmasq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
	"github.com/leasehold/leasehold/feed/leasetest"
	"github.com/leasehold/leasehold/fsm/binding"
)

// limit ends what hangs.
const limit = 3 * time.Minute

// server is dnsmasq in a namespace of its own.
type server struct {
	t                     *testing.T
	host                  *netlab.Host
	leases, socket, state string
	arguments             []string
	process               *netlab.Process
}

func newServer(t *testing.T, lab *netlab.Lab) *server {
	t.Helper()
	s := &server{t: t, host: lab.Host("server"), leases: filepath.Join(lab.Dir(), "dnsmasq.leases"), socket: filepath.Join(lab.Dir(), "events"),
		state: filepath.Join(lab.Dir(), "state")}
	self, err := os.Executable()
	must(t, err)
	script := filepath.Join(lab.Dir(), "script")
	must(t, os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\nDNSMASQ_TEST_SOCKET=%s exec %s \"$@\"\n", s.socket, self), 0o755))
	s.arguments = []string{"--conf-file=/dev/null", "--port=0", "--no-daemon", "--no-resolv", "--no-hosts", "--user=root", "--interface=" + netlab.Interface,
		"--except-interface=lo", "--bind-dynamic", "--dhcp-authoritative", "--script-on-renewal", "--pid-file=" + filepath.Join(lab.Dir(), "pid"),
		"--dhcp-leasefile=" + s.leases, "--dhcp-script=" + script,
		"--dhcp-range=2001:db8:547::1000,2001:db8:547::1fff,64,2h", "--dhcp-range=2001:db8:1000::1000,2001:db8:1000::1fff,64,2h",
		"--dhcp-range=2001:db8:1001::1000,2001:db8:1001::1fff,64,infinite", "--dhcp-range=192.0.2.100,192.0.2.120,1h"}
	s.start()
	return s
}

func (s *server) start() { s.process = s.host.Start("dnsmasq", s.arguments...) }

func socket(t *testing.T, h *netlab.Host, address string) net.PacketConn {
	t.Helper()
	c, err := h.ListenPacket("udp6", address)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// relayed is client n behind a relay with the link-address.
func (s *server) relayed(c net.PacketConn, n int, link string) *leasetest.Client {
	return &leasetest.Client{Conn: c, Server: net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.host.Addr, 547)),
		Relays: []leasetest.Relay{{Link: netip.MustParseAddr(link), Peer: netip.MustParseAddr(fmt.Sprintf("fe80::%x", n))}},
		DUID:   &dhcpv6.DUIDEN{EnterpriseNumber: 32473, EnterpriseIdentifier: fmt.Appendf(nil, "client %d", n)}, IAID: [4]byte{0xab, 0, 0, byte(n)}}
}

// follow runs a source against a sink; stop ends it.
func follow(t *testing.T, config Config) (source *Source, sink *leasetest.Sink, stop func()) {
	t.Helper()
	config.Report = func(e LineError) { t.Errorf("bad line: %v", &e) }
	s, err := New(config)
	must(t, err)
	sink = leasetest.NewSink(time.Time{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, sink) }()
	stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}
	return s, sink, stop
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// requireSame waits until the sink has what the simple reader reads in the lease file.
func requireSame(ctx context.Context, t *testing.T, file string, sink *leasetest.Sink) {
	t.Helper()
	var text []byte
	var different error
	if err := sink.Await(ctx, "what the file has", func(s leasetest.Seen) bool {
		if text, different = os.ReadFile(file); different == nil {
			different = unlike(leasetest.ReadDnsmasq(string(text)), s)
		}
		return different == nil
	}); err != nil {
		t.Fatalf("%v\n%v\n%s", err, different, text)
	}
}

// unlike is where the sink has not what the file has.
func unlike(want map[string][]string, seen leasetest.Seen) error {
	var all []error
	if len(want) != len(seen.Leases) {
		all = append(all, fmt.Errorf("%d leases, the file has %d", len(seen.Leases), len(want)))
	}
	for key, w := range want {
		g, ok := seen.Leases[netip.MustParsePrefix(key)]
		if !ok {
			all = append(all, fmt.Errorf("%v is missing", key))
			continue
		}
		if fmt.Sprint(g.GetIaid()) != w[1] || binding.FormatDUID(g.GetDuid()) != w[4] {
			all = append(all, fmt.Errorf("%v is %v, want %v", key, g, w))
		}
		expires := fmt.Sprint(g.Transaction.Round(time.Second).Unix() + int64(g.GetValid()))
		if g.GetValid() == binding.Infinity {
			expires = "0"
		}
		if expires != w[0] {
			all = append(all, fmt.Errorf("%v expires %v, want %v", key, expires, w[0]))
		}
	}
	return errors.Join(all...)
}

func linkOf(l leasetest.Lease) string {
	if l.Lease == nil || len(l.GetRelays()) != 1 {
		return ""
	}
	return netip.AddrFrom16([16]byte(l.GetRelays()[0].GetLinkAddress())).String()
}

func TestDnsmasqLive(t *testing.T) {
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		t.Skip("dnsmasq is not here (Debian package dnsmasq-base)")
	}
	lab := netlab.New(t)
	s := newServer(t, lab)
	relay := socket(t, lab.Host("relay"), "[::]:547")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	config := Config{Leases: s.leases, Socket: s.socket, State: s.state}
	source, sink, stop := follow(t, config)

	at := func(m *dhcpv6.Message) netip.Prefix { return netip.PrefixFrom(leasetest.Address(m), 128) }
	const linkA, linkB = "2001:db8:1000::1", "2001:db8:1001::1"
	var clients []*leasetest.Client
	var replies []*dhcpv6.Message
	for n := range 6 {
		link := linkA
		if n%2 == 1 {
			link = linkB
		}
		c := s.relayed(relay, n, link)
		m, err := c.Lease(ctx)
		if err != nil {
			t.Fatalf("client %d: %v\n%s", n, err, s.process.Output())
		}
		clients, replies = append(clients, c), append(replies, m)
		must(t, sink.Await(ctx, fmt.Sprintf("lease of client %d with its relay", n), func(seen leasetest.Seen) bool { return linkOf(seen.Leases[at(m)]) == link }))
		l := sink.Seen().Leases[at(m)]
		if want := uint32(7200); link == linkA && l.GetValid() != want || link == linkB && l.GetValid() != binding.Infinity {
			t.Errorf("client %d has valid lifetime %d", n, l.GetValid())
		}
	}
	requireSame(ctx, t, s.leases, sink)

	_, err := clients[0].Tell(ctx, dhcpv6.MessageTypeRelease, replies[0])
	must(t, err)
	must(t, sink.Await(ctx, "release", func(seen leasetest.Seen) bool { _, ok := seen.Leases[at(replies[0])]; return !ok }))
	requireSame(ctx, t, s.leases, sink)

	before := sink.Seen().Leases[at(replies[2])].Transaction
	must(t, untilSecond(ctx, before.Add(2*time.Second)))
	_, err = clients[2].Tell(ctx, dhcpv6.MessageTypeRenew, replies[2])
	must(t, err)
	must(t, sink.Await(ctx, "renewal", func(seen leasetest.Seen) bool {
		l := seen.Leases[at(replies[2])]
		return l.Transaction.After(before.Add(time.Second/2)) && l.GetValid() == 7200 && linkOf(l) == linkA
	}))
	requireSame(ctx, t, s.leases, sink)
	t.Logf("%+v", source.Totals())

	stop() // the relays outlive the agent; a lease and a release while it is away are found in the file
	_, err = clients[3].Tell(ctx, dhcpv6.MessageTypeRelease, replies[3])
	must(t, err)
	replies[0], err = clients[0].Lease(ctx)
	must(t, err)
	source, sink, stop = follow(t, config)
	defer stop()
	must(t, sink.Await(ctx, "statement", func(seen leasetest.Seen) bool {
		_, old := seen.Leases[at(replies[3])]
		return seen.Resyncs > 0 && !old && linkOf(seen.Leases[at(replies[0])]) == linkA && linkOf(seen.Leases[at(replies[2])]) == linkA && linkOf(seen.Leases[at(replies[5])]) == linkB
	}))
	if l := sink.Seen().Leases[at(replies[2])]; l.GetValid() != 7200 {
		t.Errorf("a remembered lease of %d seconds", l.GetValid())
	}
	requireSame(ctx, t, s.leases, sink)

	s.process.Stop(limit)
	s.start() // tells its script of every lease, as old
	seen := source.Totals().Events
	replies[3], err = clients[3].Lease(ctx)
	must(t, err)
	must(t, sink.Await(ctx, "lease after the restart", func(seen leasetest.Seen) bool { return linkOf(seen.Leases[at(replies[3])]) == linkB }))
	requireSame(ctx, t, s.leases, sink)
	if l := sink.Seen().Leases[at(replies[2])]; l.GetValid() != 7200 || linkOf(l) != linkA {
		t.Errorf("after the restart: %v", l)
	}
	if c := source.Condition(); c.Trouble != "" || c.Refused != 0 {
		t.Errorf("condition %+v", c)
	}
	t.Logf("%+v, events of the restart: %d", source.Totals(), source.Totals().Events-seen)
}

// untilSecond waits for a time: dnsmasq's own are of seconds.
func untilSecond(ctx context.Context, at time.Time) error {
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
