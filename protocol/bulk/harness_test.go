package bulk

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// optionClients is how a test's query says how many clients its scripted answer has.
const optionClients dhcpv6.OptionCode = 65000

// script is what the scripted answers do; the server under test streams them like real ones.
type script struct {
	size   int           // octets of each message
	failAt int           // Next fails at this message; 0 for never
	failed bool          // what Failed says at the end
	pinned atomic.Int64  // what Pinned says
	kept   atomic.Int64  // what Kept says
	hold   chan struct{} // begin waits for it, if not nil
	err    error         // what begin returns

	begun  atomic.Int64
	closed atomic.Int64
}

// scripted is an answer of so many clients.
type scripted struct {
	script  *script
	id      dhcpv6.TransactionID
	clients int
	sent    int
	closed  bool
}

func (s *script) begin(ctx context.Context, r leasequery.Request) (answer, error) {
	s.begun.Add(1)
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if s.err != nil {
		return nil, s.err
	}
	v, ok := r.Message.Options.First(optionClients)
	if !ok {
		return nil, leasequery.ErrDiscard
	}
	if len(v) != 4 {
		return nil, &leasequery.DiscardError{Reason: "count"}
	}
	return &scripted{script: s, id: r.Message.TransactionID, clients: int(binary.BigEndian.Uint32(v))}, nil
}

func (a *scripted) Next(dst []byte) ([]byte, bool, error) {
	if a.script.failAt > 0 && a.sent == a.script.failAt {
		return dst, false, errors.New("scripted failure")
	}
	a.sent++
	switch {
	case a.clients == 0:
		return dhcpv6.AppendHeader(dst, dhcpv6.MessageLeasequeryReply, a.id), false, nil
	case a.sent > a.clients:
		return dhcpv6.AppendHeader(dst, dhcpv6.MessageLeasequeryDone, a.id), false, nil
	}
	kind := dhcpv6.MessageLeasequeryData
	if a.sent == 1 {
		kind = dhcpv6.MessageLeasequeryReply
	}
	dst = dhcpv6.AppendHeader(dst, kind, a.id)
	out, err := dhcpv6.AppendOption(dst, dhcpv6.OptionClientData, zeros[:a.script.size-8])
	return out, true, err
}

// zeros is what scripted client data is made of; nobody writes to it.
var zeros [65535]byte

func (a *scripted) Abort(dst []byte, s dhcpv6.Status, text string) ([]byte, error) {
	kind := dhcpv6.MessageLeasequeryDone
	if a.sent == 0 {
		kind = dhcpv6.MessageLeasequeryReply
	}
	return dhcpv6.StatusCode{Status: s, Text: text}.AppendBinary(dhcpv6.AppendHeader(dst, kind, a.id))
}

func (a *scripted) Failed() bool  { return a.script.failed }
func (a *scripted) Pinned() int64 { return a.script.pinned.Load() }
func (a *scripted) Kept() int64   { return a.script.kept.Load() }
func (a *scripted) Close() {
	if a.closed {
		panic("answer closed twice")
	}
	a.closed = true
	a.script.closed.Add(1)
}

// pipes is a listener of in-memory connections, which block as soon as the other side does not read: for fake clocks.
type pipes struct {
	accept chan net.Conn
	done   chan struct{}
	once   sync.Once
	port   atomic.Uint32
}

func newPipes() *pipes { return &pipes{accept: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv6loopback, Port: 547} }

// dial is a connection from [::1], or from another address.
func (p *pipes) dial(from netip.Addr) net.Conn {
	client, server := net.Pipe()
	addr := net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, uint16(1024+p.port.Add(1))))
	select {
	case p.accept <- pipeConn{server, addr}:
	case <-p.done:
		_ = server.Close() // as a closed port would; the client's reads tell
	}
	return client
}

type pipeConn struct {
	net.Conn
	peer net.Addr
}

func (c pipeConn) RemoteAddr() net.Addr { return c.peer }

// fixture is a server of scripted answers that runs until the test ends.
type fixture struct {
	*Server
	script   *script
	pipes    *pipes
	registry *prometheus.Registry
	cancel   context.CancelFunc
	ran      chan error
}

func newFixture(t testing.TB, config Config, s *script) *fixture {
	if s.size == 0 {
		s.size = 100
	}
	registry := prometheus.NewRegistry()
	server := newServer(config, loopbackPolicy(t), nil, NewMetrics(registry))
	server.begin = s.begin
	server.refuse = func(dst []byte, m dhcpv6.Message, st dhcpv6.Status, text string) ([]byte, error) {
		kind := dhcpv6.MessageLeasequeryReply
		if m.Type == dhcpv6.MessageStartTLS {
			kind = dhcpv6.MessageReply
		}
		return dhcpv6.StatusCode{Status: st, Text: text}.AppendBinary(dhcpv6.AppendHeader(dst, kind, m.TransactionID))
	}
	server.accepted = func(dst []byte, m dhcpv6.Message) []byte {
		return dhcpv6.AppendHeader(dst, dhcpv6.MessageReply, m.TransactionID)
	}
	return &fixture{Server: server, script: s, pipes: newPipes(), registry: registry, ran: make(chan error, 1)}
}

// start runs the server on pipes.
func (f *fixture) start(t testing.TB) *fixture {
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	go func() { f.ran <- f.Run(ctx, f.pipes) }()
	<-f.Ready()
	t.Cleanup(cancel)
	return f
}

// stop ends the server and checks that it ended well.
func (f *fixture) stop(t testing.TB) {
	t.Helper()
	f.cancel()
	if err := <-f.ran; err != nil {
		t.Errorf("Run: %v", err)
	}
	if begun, closed := f.script.begun.Load(), f.script.closed.Load(); closed > begun {
		t.Errorf("%d answers closed of %d begun", closed, begun)
	}
}

func (f *fixture) dial() net.Conn { return f.pipes.dial(netip.IPv6Loopback()) }

// metric is the value of one series: its name, or name and reason.
func (f *fixture) metric(t testing.TB, name, why string) float64 {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if why != "" && (len(m.GetLabel()) == 0 || m.GetLabel()[0].GetValue() != why) {
				continue
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return 0
}

// ask is a framed LEASEQUERY for so many clients.
func ask(id byte, clients int) []byte {
	b, err := dhcpv6.AppendOption(nil, optionClients, binary.BigEndian.AppendUint32(nil, uint32(clients)))
	if err != nil {
		panic(err)
	}
	m := dhcpv6.Message{Type: dhcpv6.MessageLeasequery, TransactionID: dhcpv6.TransactionID{0, 0, id}, Options: b}
	frame, err := dhcpv6.AppendFrame(nil, m)
	if err != nil {
		panic(err)
	}
	return frame
}

// got is one message as a requestor sees it.
type got struct {
	Type   dhcpv6.MessageType
	ID     byte
	Status string // name of an error status
}

// readAll reads messages until the connection ends, and tells how it ended.
func readAll(c net.Conn) ([]got, error) {
	frames := dhcpv6.NewReader(c, nil)
	var all []got
	for {
		g, err := readOne(frames)
		if err != nil {
			return all, err
		}
		all = append(all, g)
	}
}

func readOne(frames *dhcpv6.Reader) (got, error) {
	frame, err := frames.Next()
	if err != nil {
		return got{}, err
	}
	m, err := dhcpv6.ParseMessage(frame)
	if err != nil {
		return got{}, err
	}
	g := got{Type: m.Type, ID: m.TransactionID[2]}
	if v, ok := m.Options.First(dhcpv6.OptionStatusCode); ok {
		s, err := dhcpv6.ParseStatusCode(v)
		if err != nil {
			return got{}, err
		}
		g.Status = s.Status.String()
	}
	return g, nil
}

// send writes all of b.
func send(t testing.TB, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Errorf("write %d octets: %v", len(b), err)
	}
}

// answered is the whole answer of so many clients.
func answered(id byte, clients int) []got {
	if clients == 0 {
		return []got{{Type: dhcpv6.MessageLeasequeryReply, ID: id}}
	}
	all := []got{{Type: dhcpv6.MessageLeasequeryReply, ID: id}}
	for range clients - 1 {
		all = append(all, got{Type: dhcpv6.MessageLeasequeryData, ID: id})
	}
	return append(all, got{Type: dhcpv6.MessageLeasequeryDone, ID: id})
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// pass lets time pass: on the fake clock of a synctest bubble.
func pass(d time.Duration) { <-time.After(d) }
