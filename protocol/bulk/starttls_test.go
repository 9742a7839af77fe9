package bulk

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// askTLS is a framed STARTTLS.
func askTLS(id byte) []byte { return []byte{0, 4, byte(dhcpv6.MessageStartTLS), 0, 0, id} }

// newTLSFixture is a server of scripted answers that speaks TLS, and knows loopback by its address and "x.example" by its name.
func newTLSFixture(t testing.TB, config Config, s *script) (*fixture, *pki) {
	t.Helper()
	p := newPKI(t)
	if config.TLS.Mode == starttls.Off {
		config.TLS.Mode = starttls.Optional
	}
	config.TLS.Credentials = p.creds
	f := newFixture(t, config, s)
	f.policy = policyOf(t, byAddress(), byName("x.example"))
	return f, p
}

// stranger is an address that no stanza has.
var stranger = netip.MustParseAddr("2001:db8::bad")

// secured is c inside TLS.
func secured(t testing.TB, c net.Conn, config *tls.Config) *tls.Conn {
	t.Helper()
	send(t, c, askTLS(9))
	var reply [6]byte
	if _, err := io.ReadFull(c, reply[:]); err != nil || reply != [6]byte{0, 4, 7, 0, 0, 9} {
		t.Fatalf("STARTTLS was answered by %x, %v", reply, err)
	}
	inside := tls.Client(c, config)
	if err := inside.Handshake(); err != nil {
		t.Fatal(err)
	}
	return inside
}

// A handshake has its time from STARTTLS on, a stranger from the beginning of its connection. Octets that trickle do not renew it.
func TestRule19SlowHandshake(t *testing.T) {
	for _, tc := range []struct {
		name string
		from netip.Addr
		say  func(t *testing.T, c net.Conn)
		want time.Duration
	}{
		{"a stranger says nothing", stranger, func(*testing.T, net.Conn) {}, 10 * time.Second},
		{"a stranger begins a message", stranger, func(t *testing.T, c net.Conn) { pass(8 * time.Second); send(t, c, askTLS(1)[:3]) }, 10 * time.Second},
		{"a stranger, late STARTTLS", stranger, func(t *testing.T, c net.Conn) { pass(9 * time.Second); send(t, c, askTLS(1)) }, 10 * time.Second},
		{"no handshake", netip.IPv6Loopback(), func(t *testing.T, c net.Conn) { pass(60 * time.Second); send(t, c, askTLS(1)) }, 70 * time.Second},
		{"a handshake that trickles", netip.IPv6Loopback(), func(t *testing.T, c net.Conn) {
			send(t, c, askTLS(1))
			for _, b := range []byte{22, 3, 1, 2, 0, 1, 0, 1, 252} {
				pass(1100 * time.Millisecond)
				send(t, c, []byte{b})
			}
		}, 10 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, p := newTLSFixture(t, Config{}, &script{})
				f.start(t)
				c := f.pipes.dial(tc.from)
				ended := endOf(c)
				tc.say(t, c)
				if got := <-ended; got != tc.want {
					t.Errorf("closed after %v, want %v", got, tc.want)
				}
				f.stop(t)
				if n := f.metric(t, MetricClosed, string(endHandshake)); n != 1 {
					t.Errorf("%s{handshake} = %v, want 1", MetricClosed, n)
				}
				if n := p.handshakes(t, starttls.HandshakeOK); n != 0 {
					t.Errorf("%v handshakes", n)
				}
			})
		})
	}
}

// A connection inside TLS is idle and stalls like any other, and ends by close_notify where it can.
func TestTimesInTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := newTLSFixture(t, Config{IdleTimeout: 100 * time.Second, DataTimeout: 300 * time.Second}, &script{})
		f.start(t)
		idle := secured(t, f.pipes.dial(stranger), p.requestor(t, "x.example"))
		slow := secured(t, f.dial(), p.requestor(t, "y.example"))
		ended := endOf(idle)
		send(t, slow, ask(1, 2000)) // and reads slowly: what is written is interrupted each second
		if got := <-ended; got != 100*time.Second {
			t.Errorf("closed after %v, want 1m40s", got)
		}
		all, err := readAll(slow)
		if diff := cmp.Diff(answered(1, 2000), all); diff != "" || !isEnd(err) {
			t.Errorf("answer (-want +got):\n%s\nend: %v", diff, err)
		}
		stalled := secured(t, f.dial(), p.requestor(t, "y.example"))
		start := time.Now()
		send(t, stalled, ask(1, 100_000))
		pass(301 * time.Second)
		synctest.Wait()
		if n := f.metric(t, MetricClosed, string(endStalled)); n != 1 {
			t.Errorf("%s{stalled} = %v after %v, want 1", MetricClosed, n, time.Since(start))
		}
		f.stop(t)
	})
}

// Strangers have their own places; a handshake gives them one of those that MaxConnections counts.
func TestRule19StrangersHaveTheirOwnPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := newTLSFixture(t, Config{MaxConnections: 2, TLS: TLS{MaxStrangers: 3}}, &script{hold: make(chan struct{})})
		f.start(t)
		silent := []net.Conn{f.pipes.dial(stranger), f.pipes.dial(stranger)}
		known := f.dial()
		send(t, known, ask(1, 0)) // held: it is never idle
		inside := secured(t, f.pipes.dial(stranger), p.requestor(t, "x.example"))
		send(t, inside, ask(1, 0))
		synctest.Wait()
		if a, b := f.metric(t, MetricConnections, ""), f.metric(t, MetricStrangers, ""); a != 2 || b != 2 {
			t.Errorf("%v connections and %v strangers, want 2 and 2", a, b)
		}
		third := f.pipes.dial(stranger)
		if _, err := f.pipes.dial(stranger).Read(make([]byte, 1)); !isEnd(err) {
			t.Errorf("a fourth stranger: %v", err)
		}
		if n := f.metric(t, MetricRefused, refusedStrangers); n != 1 {
			t.Errorf("%v refused as strangers, want 1", n)
		}
		send(t, third, askTLS(1)) // two connections run queries: there is no room behind this handshake
		if _, err := io.ReadFull(third, make([]byte, 6)); err != nil {
			t.Fatal(err)
		}
		late := tls.Client(third, p.requestor(t, "x.example"))
		if err := late.Handshake(); err != nil {
			t.Fatal(err)
		}
		if n, err := late.Read(make([]byte, 1)); n > 0 || !isEnd(err) {
			t.Errorf("past MaxConnections: %d octets, %v", n, err)
		}
		close(f.script.hold)
		for _, c := range []net.Conn{known, inside} {
			if g, err := readOne(dhcpv6.NewReader(c, nil)); err != nil || g.Type != dhcpv6.MessageLeasequeryReply {
				t.Errorf("got %v, %v", g, err)
			}
		}
		start := time.Now()
		for _, c := range silent {
			if _, err := c.Read(make([]byte, 1)); !isEnd(err) {
				t.Error(err)
			}
		}
		if time.Since(start) > starttls.DefaultHandshakeTimeout {
			t.Errorf("strangers were kept for %v", time.Since(start))
		}
		f.stop(t)
		if a, b := f.metric(t, MetricConnections, ""), f.metric(t, MetricStrangers, ""); a != 0 || b != 0 {
			t.Errorf("%v connections and %v strangers are left", a, b)
		}
	})
}

// With no places for strangers, certificates only add to source addresses.
func TestStrangersMayBeRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := newTLSFixture(t, Config{TLS: TLS{MaxStrangers: -1}}, &script{})
		f.start(t)
		if _, err := f.pipes.dial(stranger).Read(make([]byte, 1)); !isEnd(err) {
			t.Error(err)
		}
		c := secured(t, f.dial(), p.requestor(t, "x.example"))
		send(t, c, ask(1, 0))
		if _, err := readOne(dhcpv6.NewReader(c, nil)); err != nil {
			t.Error(err)
		}
		f.stop(t)
	})
}

// Limits of one requestor are those of whoever shows the certificate, wherever it asks from.
func TestLimitsCountByCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := newTLSFixture(t, Config{MaxConnections: 20}, &script{hold: make(chan struct{})})
		named := byName("x.example", "y.example")
		named.MaxConnections = 1
		f.policy = policyOf(t, byAddress(), named)
		f.start(t)
		busy := func(from netip.Addr, name string) net.Conn {
			c := secured(t, f.pipes.dial(from), p.requestor(t, name))
			send(t, c, ask(1, 0))
			synctest.Wait()
			return c
		}
		first, other := busy(stranger, "x.example"), busy(netip.IPv6Loopback(), "y.example")
		second := secured(t, f.pipes.dial(netip.MustParseAddr("2001:db8::2")), p.requestor(t, "x.example"))
		if n, err := second.Read(make([]byte, 1)); n > 0 || !isEnd(err) {
			t.Errorf("a second connection by one certificate: %d octets, %v", n, err)
		}
		if n := f.metric(t, MetricRefused, refusedRequestor); n != 1 {
			t.Errorf("%v refused, want 1", n)
		}
		close(f.script.hold)
		for _, c := range []net.Conn{first, other} {
			if _, err := readOne(dhcpv6.NewReader(c, nil)); err != nil {
				t.Error(err)
			}
		}
		f.stop(t)
	})
}

// A server that stops waits for no handshake; one that is about to stop makes them still.
func TestHandshakeWhileTheServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := newTLSFixture(t, Config{}, &script{})
		f.start(t)
		f.Retire()
		c := secured(t, f.dial(), p.requestor(t, "y.example"))
		send(t, c, ask(1, 3))
		all, err := readAll(c)
		if diff := cmp.Diff(answered(1, 3), all); diff != "" || !isEnd(err) {
			t.Errorf("answer (-want +got):\n%s\nend: %v", diff, err)
		}
		half := f.dial()
		send(t, half, askTLS(1))
		synctest.Wait()
		start := time.Now()
		ended := endOf(half)
		f.stop(t)
		<-ended
		if d := time.Since(start); d != 0 {
			t.Errorf("the handshake was waited for: %v", d)
		}
	})
}

// An answer that ends while the last of it is not read, and the connection makes room: the receiver waits for room then, the sender for
// the receiver.
func TestConnectionThatMakesRoomAtItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{MaxConnections: 1, MaxQueriesPerConnection: 1}, &script{}).start(t)
		first := f.dial()
		send(t, first, append(ask(1, 1), ask(2, 1)...)) // the first answer fills the pipe; the second query waits for its end
		synctest.Wait()
		second := f.dial()
		send(t, second, ask(3, 0))
		if g, err := readOne(dhcpv6.NewReader(second, nil)); err != nil || g.ID != 3 {
			t.Errorf("got %v, %v", g, err)
		}
		if _, err := readAll(first); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		f.cancel()
		done := make(chan error, 1)
		go func() { done <- <-f.ran }()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Second): // before DrainTimeout, which would free it
			t.Error("a connection hangs")
		}
	})
}
