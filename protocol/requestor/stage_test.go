package requestor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// script is what a server does on one connection. The connection is closed behind it.
type script func(p *peer)

// stage is servers that play scripts: each connection to one plays its next; without one it is refused.
type stage struct {
	t       *testing.T
	began   time.Time
	mu      sync.Mutex
	scripts map[string][]script
	dials   []string
	at      []time.Duration // when
	wg      sync.WaitGroup
}

func newStage(t *testing.T, scripts map[string][]script) *stage {
	s := &stage{t: t, began: time.Now(), scripts: scripts}
	t.Cleanup(s.wg.Wait)
	return s
}

// next is the script of a connection that begins, or nil.
func (s *stage) next(name string) script {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials, s.at = append(s.dials, name), append(s.at, time.Since(s.began))
	if len(s.scripts[name]) == 0 {
		return nil
	}
	next := s.scripts[name][0]
	s.scripts[name] = s.scripts[name][1:]
	return next
}

func (s *stage) play(next script, c net.Conn) {
	s.wg.Go(func() {
		defer func() { _ = c.Close() }() // the requestor may have been first
		next(&peer{t: s.t, conn: c, frames: dhcpv6.NewReader(c, nil)})
	})
}

// config asks the servers by name, through pipes.
func (s *stage) config() Config {
	return Config{ClientID: ownID, Dial: func(_ context.Context, name string) (net.Conn, error) {
		next := s.next(name)
		if next == nil {
			return nil, fmt.Errorf("connect to %s: connection refused", name)
		}
		client, server := net.Pipe()
		s.play(next, server)
		return client, nil
	}}
}

// listen puts a server of the stage on loopback; a connection without script is closed at once.
func (s *stage) listen(name string) string {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = l.Close() }) // before the wait for wg
	s.wg.Go(func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			if next := s.next(name); next != nil {
				s.play(next, c)
			} else {
				_ = c.Close()
			}
		}
	})
	return l.Addr().String()
}

// peer is a server's end of a connection.
type peer struct {
	t      *testing.T
	conn   net.Conn
	frames *dhcpv6.Reader
	asked  dhcpv6.Message
}

// read reads the next query; it is false when the requestor is gone.
func (p *peer) read() bool {
	frame, err := p.frames.Next()
	if err != nil {
		return false
	}
	m, err := dhcpv6.ParseMessage(frame)
	if err != nil {
		p.t.Errorf("query: %v", err)
		return false
	}
	p.asked = dhcpv6.Message{Type: m.Type, TransactionID: m.TransactionID, Options: append(dhcpv6.Options(nil), m.Options...)}
	return true
}

// subscribed reads an ACTIVELEASEQUERY with the start time, or none if that is 0.
func (p *peer) subscribed(start uint32) bool {
	if !p.read() {
		return false
	}
	if p.asked.Type != dhcpv6.MessageActiveLeasequery {
		p.t.Errorf("got %v, want ACTIVELEASEQUERY", p.asked.Type)
	}
	value, ok := p.asked.Options.First(dhcpv6.OptionLQStartTime)
	if !ok && start == 0 {
		return true
	}
	if got, err := dhcpv6.ParseStartTime(value); err != nil || uint32(got) != start {
		p.t.Errorf("start time %d (%v), want %d", got, err, start)
	}
	return true
}

// queried reads a LEASEQUERY without start time.
func (p *peer) queried() bool {
	if !p.read() {
		return false
	}
	if p.asked.Type != dhcpv6.MessageLeasequery {
		p.t.Errorf("got %v, want LEASEQUERY", p.asked.Type)
	}
	if _, ok := p.asked.Options.First(dhcpv6.OptionLQStartTime); ok {
		p.t.Error("a full bulk query has a start time")
	}
	return true
}

// lq is the LQ_QUERY of what was asked.
func (p *peer) lq() dhcpv6.LQQuery {
	value, _ := p.asked.Options.First(dhcpv6.OptionLQQuery)
	q, err := dhcpv6.ParseLQQuery(value)
	if err != nil {
		p.t.Errorf("query: %v", err)
	}
	return q
}

func (p *peer) send(kind dhcpv6.MessageType, options ...dhcpv6.Options) bool {
	b, err := dhcpv6.AppendFrame(nil, message(kind, p.asked.TransactionID, join(options...)))
	if err != nil {
		p.t.Error(err)
	}
	return p.octets(b)
}

func (p *peer) octets(b []byte) bool {
	_, err := p.conn.Write(b)
	return err == nil
}

func (p *peer) reply(options ...dhcpv6.Options) bool {
	return p.send(dhcpv6.MessageLeasequeryReply, append([]dhcpv6.Options{head()}, options...)...)
}

func (p *peer) data(options ...dhcpv6.Options) bool {
	return p.send(dhcpv6.MessageLeasequeryData, options...)
}

func (p *peer) done(options ...dhcpv6.Options) bool {
	return p.send(dhcpv6.MessageLeasequeryDone, options...)
}

// gone waits until the requestor is.
func (p *peer) gone() {
	for p.read() {
	}
}

// pause thinks for so long, of the bubble's time.
func pause(d time.Duration) { <-time.After(d) }

func base(t uint32) dhcpv6.Options { return must(dhcpv6.BaseTime(t)) }

func says(s dhcpv6.Status) dhcpv6.Options { return must(dhcpv6.StatusCode{Status: s, Text: "because"}) }

// holds is an OPTION_CLIENT_DATA: a client by one letter with an address by its number, last heard of so long ago. valid 0: ended.
func holds(who byte, address int, valid, ago uint32) dhcpv6.Options {
	return must(dhcpv6.ClientData{Options: must(dhcpv6.ClientID{0, 2, who}, dhcpv6.CLTTime(ago),
		dhcpv6.IAAddress{Address: numbered(address), Valid: valid})})
}

// still is what holds a lease of 900 s that the client got at the time got, at base now.
func still(who byte, address int, got, now uint32) dhcpv6.Options {
	return holds(who, address, 900-(now-got), now-got)
}

func numbered(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 14: byte(n >> 8), 15: byte(n)})
}

// wrote is an event in a line, for comparison.
func wrote(e *Event) string {
	line := e.Kind.String()
	if e.Client != nil {
		if line = "nobody"; len(e.Client.DUID) > 2 {
			line = fmt.Sprintf("%c", e.Client.DUID[2])
		}
		for _, a := range e.Client.Addresses {
			b := a.Address.As16()
			line += fmt.Sprintf(" %d", int(b[14])<<8|int(b[15]))
			if a.Valid == 0 {
				line += " ended"
			}
		}
	}
	if e.HasBaseTime {
		line += fmt.Sprintf(" @%d", e.BaseTime)
	}
	if e.Recovered {
		line += " recovered"
	}
	if e.Partial {
		line += " partial"
	}
	if e.HasResume {
		line += fmt.Sprintf(" resume %d", e.Resume)
	}
	return line
}

// watched runs Watch until it has told so many events, or more than expected were reported to have failed, and returns them.
func watched(t *testing.T, events int, servers []string, config Config, q ActiveQuery) (told []string, failures []error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	config.Report = func(a Attempt) { failures = append(failures, a.Err) }
	err := Watch(ctx, servers, config, q, func(e *Event) error {
		if told = append(told, wrote(e)); len(told) == events {
			cancel()
		}
		return nil
	})
	if err == nil || ctx.Err() == nil {
		t.Errorf("Watch: %v, want that its context ends it", err)
	}
	if len(told) < events {
		t.Errorf("%d events within an hour, want %d: %v; failed: %v", len(told), events, told, failures)
	}
	return told, failures
}
