package bulk

import (
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/starttls"
	"github.com/leasehold/leasehold/protocol/starttls/authority"
)

// RFC 7653 9.1: each mode, with each first message, from a requestor that the policy knows by its address.
func TestRule19FirstMessage(t *testing.T) {
	p := newPKI(t)
	for _, mode := range []starttls.Mode{starttls.Off, starttls.Optional, starttls.Required} {
		t.Run(mode.String(), func(t *testing.T) {
			s := serve(t, house(t), Config{TLS: TLS{Mode: mode, Credentials: p.creds}}, byAddress())
			query := lqMsg(1, lq(qLink, "2001:db8:2::"))
			for name, first := range map[string][]byte{
				"a query":                    query,
				"ACTIVELEASEQUERY":           msg(msgActive, 1, opt(optClientID, requestorID)),
				"a message that is not read": msg(200, 1),
				"a message of broken framing, then STARTTLS": cat(msg(msgStartTLS, 1, []byte{0, 1}), msg(msgStartTLS, 2)),
				"nonsense as long as a frame":                cat(u16(300), make([]byte, 300)),
			} {
				w := dialWire(t, s.addr)
				w.send(first)
				switch {
				case mode == starttls.Required:
					w.expectEnd()
				case name == "a query":
					w.expect(answerOK(1, clientAOn2), done(1))
					w.expectOpen()
				case name == "ACTIVELEASEQUERY":
					w.expectStatus(msgAnswer, 1, stNotSupported)
					w.expectEnd()
				case mode == starttls.Off && first[2] == msgStartTLS:
					w.expectStatus(msgReply, 2, stTLSRefused)
					w.expectOpen()
				case first[2] == msgStartTLS: // the broken one was the first
					w.expectEnd()
				default:
					w.expectOpen()
				}
			}
			w := dialWire(t, s.addr)
			if mode == starttls.Off {
				w.send(msg(msgStartTLS, 1))
				w.expectStatus(msgReply, 1, stTLSRefused)
				w.expectOpen()
				return
			}
			w.startTLS()
			if _, err := w.secure(p.requestor(t, "anybody.example")); err != nil {
				t.Fatal(err)
			}
			w.send(query)
			w.expect(answerOK(1, clientAOn2), done(1))
			w.expectOpen()
		})
	}
}

// RFC 7653 9.1: a stranger by its address may do nothing but STARTTLS; who it is its certificate tells.
func TestRule19StrangersMayOnlyStartTLS(t *testing.T) {
	p := newPKI(t)
	for _, mode := range []starttls.Mode{starttls.Optional, starttls.Required} {
		s := serve(t, house(t), Config{TLS: TLS{Mode: mode, Credentials: p.creds}}, byName("bng-1.example", "spiffe://isp/bng"))
		for _, first := range [][]byte{
			lqMsg(1, lq(qLink, "2001:db8:2::")), msg(msgActive, 1, opt(optClientID, requestorID)), msg(200, 1), {0, 1, 0}, msg(msgStartTLS, 1, []byte{0, 1}),
		} {
			w := dialWire(t, s.addr)
			w.send(first)
			w.expectEnd()
		}
		for _, names := range [][]string{{"BNG-1.example"}, {"other.example", "spiffe://isp/bng"}} {
			w, c := dialTLS(t, s, p.requestor(t, names...))
			w.send(lqMsg(1, lq(qLink, "2001:db8:2::")))
			w.expect(answerOK(1, clientAOn2), done(1))
			if v := c.ConnectionState().Version; v != tls.VersionTLS13 {
				t.Errorf("TLS version %x", v)
			}
		}
	}
}

// RFC 7653 9.1: both sides are authenticated, and a requestor's certificate that is not acceptable ends the handshake; the failed
// handshake closes the TCP connection.
func TestRule19UnacceptableCertificates(t *testing.T) {
	p := newPKI(t)
	other, err := nobodys()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		config *tls.Config
		result string
	}{
		"of another authority": {p.showing(t, other, authority.Order{Usage: authority.Requestor, Names: []string{"bng-1.example"}}), starttls.HandshakeCertificate},
		"expired": {p.showing(t, p.ca, authority.Order{Usage: authority.Requestor, Names: []string{"bng-1.example"}, Valid: -time.Minute}),
			starttls.HandshakeCertificate},
		"for servers only":         {p.showing(t, p.ca, authority.Order{Usage: authority.Server, Names: []string{"bng-1.example"}}), starttls.HandshakeCertificate},
		"no name in the policy":    {p.requestor(t, "bng-2.example"), starttls.HandshakeStranger},
		"the name below another":   {p.requestor(t, "x.bng-1.example"), starttls.HandshakeStranger},
		"an RSA key of 1,024 bits": {p.weak(t, "bng-1.example"), starttls.HandshakeCertificate},
		"none":                     {p.trusting(), starttls.HandshakeFailed},
		"a wild card is no wonder": {p.requestor(t, "*.example"), starttls.HandshakeStranger},
	} {
		t.Run(name, func(t *testing.T) {
			for version := uint16(tls.VersionTLS12); version <= tls.VersionTLS13; version++ {
				s := serve(t, house(t), Config{TLS: TLS{Mode: starttls.Required, Credentials: p.creds}}, byName("bng-1.example"))
				config := tc.config.Clone()
				config.MinVersion, config.MaxVersion = version, version
				before := p.handshakes(t, tc.result)
				w := dialWire(t, s.addr)
				w.startTLS()
				w.expectRefusedHandshake(config)
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				if n := p.handshakes(t, tc.result) - before; n != 1 {
					t.Errorf("TLS %x: %v handshakes counted as %q, want 1", version, n, tc.result)
				}
				await(t, "nothing is left of it", func() bool { return s.metric(t, MetricStrangers, "") == 0 })
			}
		})
	}
}

// A certificate whose names nobody has is of use where the source address is known; a name goes before the address.
func TestRule17CertificateNameBeforeSourcePrefix(t *testing.T) {
	p := newPKI(t)
	named := byName("bng-1.example")
	named.QueryTypes = []dhcpv6.QueryType{qAddress}
	s := serve(t, house(t), Config{TLS: TLS{Mode: starttls.Optional, Credentials: p.creds}}, byAddress(), named)
	query := lqMsg(1, lq(qLink, "2001:db8:2::"))
	w, _ := dialTLS(t, s, p.requestor(t, "bng-7.example"))
	w.send(query)
	w.expect(answerOK(1, clientAOn2), done(1))
	w, _ = dialTLS(t, s, p.requestor(t, "bng-1.example"))
	w.send(query)
	w.expectStatus(msgAnswer, 1, stNotAllowed)
}

// RFC 9325 3.1, 4.2: TLS 1.2 and 1.3 with suites of ephemeral keys and authenticated encryption; nothing older, nothing weaker.
func TestRFC9325VersionsAndSuites(t *testing.T) {
	p := newPKI(t)
	s := serve(t, house(t), Config{TLS: TLS{Mode: starttls.Required, Credentials: p.creds}}, byName("bng-1.example"))
	try := func(change func(*tls.Config)) (*wire, *tls.Config) {
		config := p.requestor(t, "bng-1.example")
		change(config)
		w := dialWire(t, s.addr)
		w.startTLS()
		return w, config
	}
	good := map[string]func(*tls.Config){
		"1.2, AES-128-GCM": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		},
		"1.2, ChaCha20-Poly1305": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		},
		"1.3":                 func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 },
		"1.3, P-256":          func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} },
		"1.3, X25519":         func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} },
		"1.3, X25519MLKEM768": func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768} },
	}
	for name, change := range good {
		w, config := try(change)
		if _, err := w.secure(config); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		w.expectOpen()
	}
	bad := map[string]func(*tls.Config){
		"1.1": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"1.0": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 },
		"1.2, CBC": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256}
		},
		"1.2, RSA key exchange": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		},
		"1.3, P-521": func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} },
	}
	for name, change := range bad {
		t.Run(name, func(t *testing.T) {
			w, config := try(change)
			w.t = t
			w.expectRefusedHandshake(config)
		})
	}
	w, config := try(func(c *tls.Config) { c.ClientSessionCache = tickets{t} })
	if _, err := w.secure(config); err != nil {
		t.Fatal(err)
	}
	w.expectOpen()
}

// tickets is a cache that wants none: RFC 9325 3.4, and no resumption past a change of authorities.
type tickets struct{ t *testing.T }

func (c tickets) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (c tickets) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		c.t.Error("the server gives session tickets")
	}
}

// RFC 7653 9.1: STARTTLS is the first message, once. Later, twice or inside TLS it ends the connection.
func TestRule19StartTLSOutOfPlace(t *testing.T) {
	p := newPKI(t)
	s := serve(t, house(t), Config{TLS: TLS{Mode: starttls.Optional, Credentials: p.creds}}, byAddress())
	query := lqMsg(1, lq(qLink, "2001:db8:2::"))
	t.Run("later", func(t *testing.T) {
		w := dialWire(t, s.addr)
		w.send(query)
		w.expect(answerOK(1, clientAOn2), done(1))
		w.send(msg(msgStartTLS, 2))
		w.expectEnd()
	})
	t.Run("behind a query in one segment", func(t *testing.T) {
		w := dialWire(t, s.addr)
		w.send(query, msg(msgStartTLS, 2))
		for { // the answer, whole or ended by a status, and no REPLY
			b, err := w.frame()
			if err != nil {
				break
			}
			if b[2] == msgReply {
				t.Error("STARTTLS behind a query was answered")
			}
		}
	})
	t.Run("inside TLS", func(t *testing.T) {
		w, _ := dialTLS(t, s, p.requestor(t, "x.example"))
		w.send(msg(msgStartTLS, 2))
		w.expectEnd()
	})
	t.Run("inside TLS, later", func(t *testing.T) {
		w, _ := dialTLS(t, s, p.requestor(t, "x.example"))
		w.expectOpen()
		w.send(msg(msgStartTLS, 2))
		w.expectEnd()
	})
	await(t, "counted", func() bool { return s.metric(t, MetricClosed, string(endStartTLS)) == 4 })
}

// Octets that came in clear before the REPLY must never be taken for what was said inside TLS.
func TestRule19InjectedOctets(t *testing.T) {
	p := newPKI(t)
	for name, requestors := range map[string]leasequery.Requestor{"known": byAddress(), "stranger": byName("x.example")} {
		s := serve(t, house(t), Config{TLS: TLS{Mode: starttls.Optional, Credentials: p.creds}}, requestors)
		query := lqMsg(1, lq(qLink, "2001:db8:2::"))
		for what, injected := range map[string][]byte{
			"a query": query, "STARTTLS again": msg(msgStartTLS, 2), "half a frame": query[:5], "one octet": {0}, "a ClientHello": clientHello(t, p),
		} {
			t.Run(name+", one segment, "+what, func(t *testing.T) {
				before := p.handshakes(t, starttls.HandshakeInjected)
				w := dialWire(t, s.addr)
				w.send(msg(msgStartTLS, 1), injected)
				w.expectEnd() // not even a REPLY
				if n := p.handshakes(t, starttls.HandshakeInjected) - before; n != 1 {
					t.Errorf("%v counted as injected, want 1", n)
				}
			})
		}
		t.Run(name+", two segments", func(t *testing.T) {
			w := dialWire(t, s.addr)
			w.send(msg(msgStartTLS, 1))
			w.send(query)
			// Whether the second came before the REPLY or behind it is the network's business: it is never answered.
			reply, err := w.frame()
			if err == nil && reply[2] != msgReply {
				t.Fatalf("got %x", reply)
			}
			for err == nil {
				var b []byte
				if b, err = w.frame(); err == nil && int(b[0])<<8 != 0x1500 { // an alert begins with 21, 3
					t.Fatalf("got %x", b)
				}
			}
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Logf("ended by %v", err)
			}
		})
	}
}

// clientHello is what a requestor that does not wait for the REPLY would send.
func clientHello(t testing.TB, p *pki) []byte {
	t.Helper()
	r, w := io.Pipe()
	go func() { // ends with the pipe
		_ = tls.Client(hello{PipeWriter: w}, p.requestor(t, "x.example")).Handshake()
		_ = w.Close()
	}()
	b := make([]byte, 16<<10)
	n, err := r.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	return b[:n]
}
