package upstream

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

var (
	ownID    = []byte{0, 3, 0, 1, 1, 2, 3, 4, 5, 6}
	serverID = []byte{0, 2, 0, 0, 0, 9, 1}
)

// script is what a server does on one connection, from its first message on. The connection is closed behind it.
type script func(p *peer)

// stage is servers that play scripts: each connection on which something is asked plays the next of its server's. A server without scripts
// cannot be reached.
type stage struct {
	t       *testing.T
	mu      sync.Mutex
	scripts map[string][]script
	dials   []string
	wg      sync.WaitGroup
}

func newStage(t *testing.T, scripts map[string][]script) *stage {
	s := &stage{t: t, scripts: scripts}
	t.Cleanup(s.wg.Wait)
	return s
}

// add gives a server more to do.
func (s *stage) add(name string, more ...script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts[name] = append(s.scripts[name], more...)
}

// left is how many scripts have not been played.
func (s *stage) left() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.scripts {
		n += len(x)
	}
	return n
}

func (s *stage) next(name string) script {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.scripts[name]) == 0 {
		return nil
	}
	next := s.scripts[name][0]
	s.scripts[name] = s.scripts[name][1:]
	return next
}

// dial connects through a pipe.
func (s *stage) dial(_ context.Context, name string) (net.Conn, error) {
	s.mu.Lock()
	s.dials = append(s.dials, name)
	there := len(s.scripts[name]) > 0
	s.mu.Unlock()
	if !there {
		return nil, fmt.Errorf("connect to %s: connection refused", name)
	}
	client, server := net.Pipe()
	s.wg.Go(func() {
		defer func() { _ = server.Close() }() // the requestor may have been first
		p := &peer{t: s.t, conn: server, frames: dhcpv6.NewReader(server, nil)}
		if !p.read() {
			return // it only looked whether somebody is there
		}
		if next := s.next(name); next != nil {
			next(p)
		}
	})
	return client, nil
}

// source makes a source that asks the stage.
func (s *stage) source(config Config, servers ...string) *Source {
	s.t.Helper()
	config.Servers = servers
	config.Requestor.ClientID, config.Requestor.Dial = ownID, s.dial
	out, err := New(config)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// peer is a server's end of a connection.
type peer struct {
	t      *testing.T
	conn   net.Conn
	frames *dhcpv6.Reader
	asked  dhcpv6.Message // the newest
}

// read reads the next message; it is false when the requestor is gone.
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

// gone waits until the requestor is.
func (p *peer) gone() {
	for p.read() {
	}
}

// starts is the start time that was asked for; 0 for none.
func (p *peer) starts() uint32 {
	value, ok := p.asked.Options.First(dhcpv6.OptionLQStartTime)
	if !ok {
		return 0
	}
	at, err := dhcpv6.ParseStartTime(value)
	if err != nil {
		p.t.Error(err)
	}
	return uint32(at)
}

// want checks the type of what was asked.
func (p *peer) want(kind dhcpv6.MessageType) bool {
	if p.asked.Type != kind {
		p.t.Errorf("asked %v, want %v", p.asked.Type, kind)
	}
	return p.asked.Type == kind
}

func (p *peer) send(kind dhcpv6.MessageType, options ...dhcpv6.Options) bool {
	b, err := dhcpv6.AppendFrame(nil, dhcpv6.Message{Type: kind, TransactionID: p.asked.TransactionID, Options: join(options...)})
	if err != nil {
		p.t.Error(err)
	}
	_, err = p.conn.Write(b)
	return err == nil
}

func (p *peer) reply(options ...dhcpv6.Options) bool {
	head := must(dhcpv6.ClientID(ownID), dhcpv6.ServerID(serverID))
	return p.send(dhcpv6.MessageLeasequeryReply, append([]dhcpv6.Options{head}, options...)...)
}

func (p *peer) data(options ...dhcpv6.Options) bool {
	return p.send(dhcpv6.MessageLeasequeryData, options...)
}

func (p *peer) done(options ...dhcpv6.Options) bool {
	return p.send(dhcpv6.MessageLeasequeryDone, options...)
}

// clients answers a bulk query without its LEASEQUERY-DONE.
func (p *peer) clients(at uint32, clients ...requestor.Client) bool {
	if !p.want(dhcpv6.MessageLeasequery) {
		return false
	}
	if len(clients) == 0 {
		return p.reply(base(at))
	}
	for i := range clients {
		if i == 0 && !p.reply(base(at), holds(&clients[i])) || i > 0 && !p.data(base(at), holds(&clients[i])) {
			return false
		}
	}
	return true
}

// answer is a script of one whole answer to a bulk query.
func answer(at uint32, clients ...requestor.Client) script {
	return func(p *peer) {
		if p.clients(at, clients...) && len(clients) > 0 {
			p.done(base(at))
		}
	}
}

// refuse is a script of a status.
func refuse(s dhcpv6.Status) script {
	return func(p *peer) { p.reply(status(s)) }
}

func status(s dhcpv6.Status) dhcpv6.Options {
	return must(dhcpv6.StatusCode{Status: s, Text: "because"})
}

// base is a base time, so many seconds behind noon.
func base(at uint32) dhcpv6.Options { return must(dhcpv6.BaseTime(noon + at)) }

// holds is the OPTION_CLIENT_DATA of a client.
func holds(c *requestor.Client) dhcpv6.Options {
	out := must(dhcpv6.ClientID(c.DUID), dhcpv6.CLTTime(c.LastTransaction))
	for _, a := range c.Addresses {
		out = join(out, must(dhcpv6.IAAddress{Address: a.Address, Preferred: a.Preferred, Valid: a.Valid}))
	}
	for _, x := range c.Prefixes {
		out = join(out, must(dhcpv6.IAPrefix{Prefix: x.Prefix, Preferred: x.Preferred, Valid: x.Valid}))
	}
	return must(dhcpv6.ClientData{Options: out})
}

// must appends options by one encoder after another.
func must(parts ...interface {
	AppendBinary([]byte) ([]byte, error)
}) dhcpv6.Options {
	var b []byte
	for _, p := range parts {
		var err error
		if b, err = p.AppendBinary(b); err != nil {
			panic(err)
		}
	}
	return b
}

func join(parts ...dhcpv6.Options) dhcpv6.Options {
	var b dhcpv6.Options
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}
