//go:build linux

package iscdhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
	"github.com/leasehold/leasehold/feed/leasetest"
	"github.com/leasehold/leasehold/fsm/binding"
)

// patience ends what hangs.
const patience = 3 * time.Minute

// dhcpd is ISC's server in a namespace of its own, with the recipe of deploy/examples as its configuration.
type dhcpd struct {
	t       *testing.T
	server  *netlab.Host
	relay   *netlab.Host
	client  *netlab.Host
	config  string
	leases  string
	process *netlab.Process
}

func newDHCPD(t *testing.T, more string) *dhcpd {
	t.Helper()
	if _, err := exec.LookPath("dhcpd"); err != nil {
		t.Skip("ISC dhcpd is not here (Debian package isc-dhcp-server)")
	}
	lab := netlab.New(t)
	d := &dhcpd{t: t, server: lab.Host("server"), relay: lab.Host("relay"), client: lab.Host("client")}
	// dhcpd gives up its rights to a folder that is not its own: it must find its files there all the same.
	recipe, err := os.ReadFile(filepath.FromSlash("../../deploy/examples/iscdhcp/dhcpd6.conf"))
	if err != nil {
		t.Fatal(err)
	}
	d.config, d.leases = filepath.Join(lab.Dir(), "dhcpd6.conf"), filepath.Join(lab.Dir(), "dhcpd6.leases")
	for name, text := range map[string]string{d.config: string(recipe) + more, d.leases: ""} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d.start()
	return d
}

func (d *dhcpd) start() {
	d.process = d.server.Start("dhcpd", "-6", "-f", "-d", "--no-pid", "-cf", d.config, "-lf", d.leases, netlab.Interface)
}

func (d *dhcpd) restart() {
	d.process.Stop(patience)
	d.start()
}

// socket is one on a host.
func (d *dhcpd) socket(h *netlab.Host, address string) net.PacketConn {
	d.t.Helper()
	c, err := h.ListenPacket("udp6", address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = c.Close() })
	return c
}

// relayed is client n behind a relay, which may have an LDRA before it; c is the relay's socket.
func (d *dhcpd) relayed(c net.PacketConn, n int, ldra bool) *leasetest.Client {
	relays := []leasetest.Relay{{Link: netip.MustParseAddr("2001:db8:1000::1"), Peer: netip.MustParseAddr(fmt.Sprintf("fe80::%x", n)), Options: []dhcpv6.Option{
		dhcpv6.OptInterfaceID(fmt.Appendf(nil, "ge-0/0/%d", n)),
		&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRelayID, OptionData: []byte("\x00\x02\x00\x00\x7e\xd9bng-1")},
		&dhcpv6.OptRemoteID{EnterpriseNumber: 32473, RemoteID: fmt.Appendf(nil, "port \"%d\\\x00\xff", n)},
		&dhcpv6.OptionGeneric{OptionCode: 38, OptionData: fmt.Appendf(nil, "subscriber-%d", n)},
	}}}
	if ldra {
		relays[0].Options = relays[0].Options[:1]
		relays = append(relays, leasetest.Relay{Link: netip.IPv6Unspecified(), Peer: netip.MustParseAddr(fmt.Sprintf("fe80::a:%x", n)), Options: []dhcpv6.Option{
			dhcpv6.OptInterfaceID(fmt.Appendf(nil, "dsl-%d", n)), &dhcpv6.OptRemoteID{EnterpriseNumber: 32473, RemoteID: fmt.Appendf(nil, "line-%d", n)},
		}})
	}
	return &leasetest.Client{Conn: c, Server: net.UDPAddrFromAddrPort(netip.AddrPortFrom(d.server.Addr, 547)), Prefix: true, Relays: relays,
		DUID: &dhcpv6.DUIDEN{EnterpriseNumber: 32473, EnterpriseIdentifier: fmt.Appendf(nil, "client {%d}; # \"", n)}, IAID: [4]byte{0xab, 0, byte(n), '"'}}
}

// direct is a client on the server's own link.
func (d *dhcpd) direct() *leasetest.Client {
	d.t.Helper()
	c := d.socket(d.client, "[::]:546")
	zone := ""
	if err := d.client.Do(func() error {
		i, err := net.InterfaceByName(netlab.Interface)
		if err == nil {
			zone = fmt.Sprint(i.Index)
		}
		return err
	}); err != nil {
		d.t.Fatal(err)
	}
	return &leasetest.Client{Conn: c, Server: &net.UDPAddr{IP: net.ParseIP("ff02::1:2"), Port: 547, Zone: zone},
		DUID: &dhcpv6.DUIDEN{EnterpriseNumber: 32473, EnterpriseIdentifier: []byte("direct")}, IAID: [4]byte{0, 0, 0, 1}}
}

// follow runs a source against a sink until the test ends.
func follow(t *testing.T, config Config) (*Source, *leasetest.Sink) {
	t.Helper()
	config.Report = func(e *RecordError) { t.Errorf("bad record: %v", e) }
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	sink := leasetest.NewSink(time.Time{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx, sink) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return s, sink
}

// requireSame waits until the sink has what the simple reader reads in the lease file.
func requireSame(ctx context.Context, t *testing.T, file string, sink *leasetest.Sink) {
	t.Helper()
	var text []byte
	var different error
	if err := sink.Await(ctx, "what the file has", func(s leasetest.Seen) bool {
		var want map[netip.Prefix]leasetest.DHCPDLease
		if text, different = os.ReadFile(file); different == nil {
			if want, different = leasetest.ReadDHCPD(string(text), time.Now()); different == nil {
				different = differences(want, s)
			}
		}
		return different == nil
	}); err != nil {
		t.Errorf("%v\n%v\n%s", err, different, text)
	}
}

// differences is where the sink has not what the file has.
func differences(want map[netip.Prefix]leasetest.DHCPDLease, seen leasetest.Seen) error {
	var all []error
	if len(want) != len(seen.Leases) {
		all = append(all, fmt.Errorf("%d leases, the file has %d", len(seen.Leases), len(want)))
	}
	for key, w := range want {
		g, ok := seen.Leases[key]
		if !ok {
			all = append(all, fmt.Errorf("%v is missing", key))
			continue
		}
		kind := binding.NA
		if w.Kind == "ia-pd" {
			kind = binding.PD
		}
		if binding.Kind(g.GetKind()) != kind || g.GetIaid() != w.IAID || string(g.GetDuid()) != w.DUID || g.GetValid() != w.Valid || g.GetPreferred() != w.Preferred {
			all = append(all, fmt.Errorf("%v is %v, want %+v", key, g, w))
		}
		if off := g.Transaction.Sub(w.Transaction); off < -time.Second || off > time.Second {
			all = append(all, fmt.Errorf("%v: last transaction %v, want %v", key, g.Transaction, w.Transaction))
		}
	}
	return errors.Join(all...)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDHCPDLive(t *testing.T) {
	for _, format := range []string{"dhcp-cache-threshold 0;\n", "dhcp-cache-threshold 0; lease-id-format hex;\n"} {
		t.Run("format "+format, func(t *testing.T) { testDHCPDLive(t, format) })
	}
}

func testDHCPDLive(t *testing.T, more string) {
	d := newDHCPD(t, more)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	source, sink := follow(t, Config{Leases: d.leases, Config: d.config})

	has := func(a netip.Addr) func(leasetest.Seen) bool {
		return func(s leasetest.Seen) bool { _, ok := s.Leases[netip.PrefixFrom(a, 128)]; return ok }
	}
	lacks := func(a netip.Addr) func(leasetest.Seen) bool {
		return func(s leasetest.Seen) bool { return !has(a)(s) }
	}
	clients := []*leasetest.Client{d.direct()}
	for n, socket := 1, d.socket(d.relay, "[::]:547"); n < 7; n++ {
		clients = append(clients, d.relayed(socket, n, n%2 == 0))
	}
	replies := make([]*dhcpv6.Message, len(clients))
	for i, c := range clients {
		m, err := c.Lease(ctx)
		if err != nil {
			t.Fatalf("client %d: %v\n%s", i, err, d.process.Output())
		}
		replies[i] = m
		must(t, sink.Await(ctx, fmt.Sprintf("lease of client %d", i), has(leasetest.Address(m))))
	}
	requireSame(ctx, t, d.leases, sink)
	for i, c := range clients[1:] {
		requireRelays(t, c, sink.Seen().Leases[netip.PrefixFrom(leasetest.Address(replies[i+1]), 128)])
	}
	if g := sink.Seen().Leases[netip.PrefixFrom(leasetest.Address(replies[0]), 128)]; len(g.GetRelays()) != 0 {
		t.Errorf("relays of the direct client: %v", g.GetRelays())
	}

	_, err := clients[2].Tell(ctx, dhcpv6.MessageTypeRelease, replies[2])
	must(t, err)
	must(t, sink.Await(ctx, "release", lacks(leasetest.Address(replies[2]))))
	_, err = clients[3].Tell(ctx, dhcpv6.MessageTypeDecline, replies[3])
	must(t, err)
	must(t, sink.Await(ctx, "decline", lacks(leasetest.Address(replies[3]))))
	before := source.Totals().Records
	_, err = clients[4].Tell(ctx, dhcpv6.MessageTypeRenew, replies[4])
	must(t, err)
	must(t, sink.Await(ctx, "renewal", func(leasetest.Seen) bool { return source.Totals().Records > before+1 }))
	requireSame(ctx, t, d.leases, sink)

	d.restart() // rewrites the file
	must(t, sink.Await(ctx, "statement of the new file", func(s leasetest.Seen) bool { return s.Resyncs >= 2 && source.Totals().Rewrites > 0 }))
	m, err := clients[5].Tell(ctx, dhcpv6.MessageTypeRebind, replies[5])
	must(t, err)
	replies[2], err = clients[2].Lease(ctx)
	must(t, err)
	must(t, sink.Await(ctx, "lease after the restart", has(leasetest.Address(replies[2]))))
	must(t, sink.Await(ctx, "rebound", has(leasetest.Address(m))))
	requireSame(ctx, t, d.leases, sink)
	requireRelays(t, clients[5], sink.Seen().Leases[netip.PrefixFrom(leasetest.Address(m), 128)])
	var labels []string
	for _, l := range sink.Seen().Links {
		labels = append(labels, l.GetLabel())
	}
	if got := strings.Join(labels, ", "); got != "subnet 2001:db8:547::/64, shared-network access" {
		t.Errorf("links %s", got)
	}
	t.Logf("%+v, %d leases, ends %d", source.Totals(), len(sink.Seen().Leases), len(sink.Seen().Ends))
}

// requireRelays holds a lease's relays against the client's: of the outermost everything, of the others the options.
func requireRelays(t *testing.T, c *leasetest.Client, l leasetest.Lease) {
	t.Helper()
	if l.Lease == nil || len(l.GetRelays()) != len(c.Relays) {
		t.Errorf("lease %v, want %d relays", l, len(c.Relays))
		return
	}
	for i, want := range c.Relays {
		got := l.GetRelays()[i]
		link, peer := want.Link, want.Peer
		if i > 0 {
			link, peer = netip.IPv6Unspecified(), netip.IPv6Unspecified()
		}
		if netip.AddrFrom16([16]byte(got.GetLinkAddress())) != link || netip.AddrFrom16([16]byte(got.GetPeerAddress())) != peer || int(got.GetHopCount()) != len(c.Relays)-1-i {
			t.Errorf("relay %d is %v, want %v", i, got, want)
		}
		options := map[uint16]string{}
		for code, value := range binding.Options(got.GetOptions()) {
			options[code] = string(value)
		}
		if len(options) != len(want.Options) {
			t.Errorf("relay %d has options %v, want %v", i, options, want.Options)
		}
		for _, o := range want.Options {
			if options[uint16(o.Code())] != string(o.ToBytes()) {
				t.Errorf("relay %d: option %v is %q, want %q", i, o.Code(), options[uint16(o.Code())], o.ToBytes())
			}
		}
	}
}
