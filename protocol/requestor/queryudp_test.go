package requestor

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// udpServer is a server that plays a script: what it says to the nth datagram that it gets, from 0 on; nil is nothing.
type udpServer struct {
	t     *testing.T
	conn  *net.UDPConn
	marks chan struct{} // told of each mark that came
	mu    sync.Mutex
	got   []dhcpv6.Message
}

// mark is a datagram of the test, behind those of the requestor.
var mark = []byte("mark")

// newUDPServer serves until the test ends. answer gets the query, whose octets are its own.
func newUDPServer(t *testing.T, answer func(n int, m dhcpv6.Message) [][]byte) *udpServer {
	t.Helper()
	conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Fatal(err)
	}
	s := &udpServer{t: t, conn: conn, marks: make(chan struct{}, 1)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			b := make([]byte, 2000)
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if bytes.Equal(b[:n], mark) {
				s.marks <- struct{}{}
				continue
			}
			m, err := dhcpv6.ParseMessage(b[:n])
			if err != nil {
				t.Errorf("the requestor sent %x: %v", b[:n], err)
				continue
			}
			s.mu.Lock()
			s.got = append(s.got, m)
			count := len(s.got) - 1
			s.mu.Unlock()
			for _, r := range answer(count, m) {
				// Where a query was sent again, and its answer had come, the test may be over.
				if _, err := conn.WriteToUDPAddrPort(r, from); err != nil && !errors.Is(err, net.ErrClosed) {
					t.Errorf("answer: %v", err)
				}
			}
		}
	})
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		running.Wait()
	})
	return s
}

func (s *udpServer) addr() string { return s.conn.LocalAddr().String() }

// queries is all that was sent before: also what the server had not yet read.
func (s *udpServer) queries() []dhcpv6.Message {
	s.t.Helper()
	c, err := net.Dial("udp6", s.addr())
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = c.Write(mark)
	if err := errors.Join(err, c.Close()); err != nil {
		s.t.Fatal(err)
	}
	<-s.marks
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

// encode is a message's octets.
func encode(t dhcpv6.MessageType, id dhcpv6.TransactionID, parts ...dhcpv6.Options) []byte {
	m := message(t, id, join(parts...))
	b, _ := m.AppendBinary(nil) // never fails
	return b
}

const lqReply = dhcpv6.MessageLeasequeryReply

// quick asks with waits of milliseconds, and goes on for minutes: a server that is slow to answer has not said nothing.
var quick = Config{ClientID: ownID, MinBackoff: 5 * time.Millisecond, MaxBackoff: 10 * time.Millisecond, Tries: 30_000}

func anAddress() Query {
	return Query{Type: dhcpv6.QueryByAddress, Address: netip.MustParseAddr("2001:db8::1")}
}

func silence(int, dhcpv6.Message) [][]byte { return nil }

// always answers with client 1.
func always(_ int, m dhcpv6.Message) [][]byte {
	return [][]byte{encode(lqReply, m.TransactionID, head(), told(1))}
}

func TestUDPAsksAgain(t *testing.T) {
	s := newUDPServer(t, func(n int, m dhcpv6.Message) [][]byte {
		if n < 3 {
			return nil
		}
		return always(n, m)
	})
	var got []int
	if err := QueryUDP(t.Context(), []string{s.addr()}, quick, anAddress(), collect(&got)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1}, got); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	queries := s.queries()
	if len(queries) < 4 { // more, where the answer to the fourth was late
		t.Errorf("%d queries, want 4", len(queries))
	}
	for _, q := range queries[1:] { // RFC 8415 16.1: a message that is sent again has the same transaction-id
		if diff := cmp.Diff(queries[0], q); diff != "" {
			t.Errorf("sent again (-first +again):\n%s", diff)
		}
	}
}

// LQ_MAX_RC.
func TestUDPGivesUp(t *testing.T) {
	s := newUDPServer(t, silence)
	config := quick
	config.Tries = 0 // the default
	err := QueryUDP(t.Context(), []string{s.addr()}, config, anAddress(), collect(new([]int)))
	attempts, ok := errors.AsType[*AttemptsError](err)
	if !ok || !errors.Is(err, ErrSilent) || len(attempts.Attempts) != 1 || attempts.Refused() {
		t.Errorf("error %v", err)
	}
	if n := len(s.queries()); n != DefaultTries {
		t.Errorf("%d queries, want %d", n, DefaultTries)
	}
}

// RFC 5007 4.2.2: what is no answer to the query is discarded, and the answer behind it counts.
func TestUDPDiscards(t *testing.T) {
	s := newUDPServer(t, func(_ int, m dhcpv6.Message) [][]byte {
		id := m.TransactionID
		other := dhcpv6.TransactionID{id[0] + 1, id[1], id[2]}
		return [][]byte{
			{}, {15, 0}, encode(lqReply, other, head(), told(2)), encode(dhcpv6.MessageLeasequeryData, id, head(), told(3)),
			encode(lqReply, id, must(dhcpv6.ServerID(serverID)), told(4)),                             // no client-id
			encode(lqReply, id, must(dhcpv6.ClientID(ownID)), told(5)),                                // no server-id
			encode(lqReply, id, must(dhcpv6.ClientID("another"), dhcpv6.ServerID(serverID)), told(6)), // another's
			encode(lqReply, id, head(), told(1)), encode(lqReply, id, head(), told(7)),
		}
	})
	var got []int
	if err := QueryUDP(t.Context(), []string{s.addr()}, quick, anAddress(), collect(&got)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1}, got); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}

// The next server is asked when the first says nothing, when nobody listens there, and when it refuses (RFC 5007 4.3.3).
func TestUDPAsksTheNextServer(t *testing.T) {
	gone := newUDPServer(t, silence)
	// A socket that is connected to another holds its port, and gets nothing from anybody else: the kernel says that nobody listens.
	closed, err := net.DialUDP("udp6", nil, gone.conn.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer closed.Close()
	refuses := newUDPServer(t, func(_ int, m dhcpv6.Message) [][]byte {
		return [][]byte{encode(lqReply, m.TransactionID, head(), must(dhcpv6.StatusCode{Status: dhcpv6.StatusNotConfigured, Text: "no"}))}
	})
	good := newUDPServer(t, always)
	for name, first := range map[string]string{"silent": gone.addr(), "nobody": closed.LocalAddr().String(), "refuses": refuses.addr()} {
		t.Run(name, func(t *testing.T) {
			config := quick
			if name != "silent" {
				config.MinBackoff, config.MaxBackoff = time.Hour, time.Hour // that is not waited for
			}
			var got []int
			if err := QueryUDP(t.Context(), []string{first, good.addr()}, config, anAddress(), collect(&got)); err != nil || len(got) != 1 {
				t.Errorf("clients %v, %v", got, err)
			}
		})
	}
	var reported []Attempt
	config := quick
	config.Report = func(a Attempt) { reported = append(reported, a) }
	err = QueryUDP(t.Context(), []string{refuses.addr(), refuses.addr()}, config, anAddress(), collect(new([]int)))
	attempts, ok := errors.AsType[*AttemptsError](err)
	if !ok || !attempts.Refused() || len(reported) != 2 {
		t.Errorf("error %v, reported %v", err, reported)
	}
}

// A list of links is followed by a query for each, at the server that gave it.
func TestUDPFollowsClientLink(t *testing.T) {
	links := []netip.Addr{netip.MustParseAddr("2001:db8:1::"), netip.MustParseAddr("2001:db8:2::")}
	other := newUDPServer(t, silence)
	s := newUDPServer(t, func(_ int, m dhcpv6.Message) [][]byte {
		v, _ := m.Options.First(dhcpv6.OptionLQQuery)
		q, err := dhcpv6.ParseLQQuery(v)
		if err != nil {
			return nil
		}
		for i, l := range links {
			if q.LinkAddress == l {
				return [][]byte{encode(lqReply, m.TransactionID, head(), told(i+1))}
			}
		}
		return [][]byte{encode(lqReply, m.TransactionID, head(), must(dhcpv6.NewLQClientLink(links...)))}
	})
	var got []int
	q := Query{Type: dhcpv6.QueryByClientID, ClientID: []byte("\x00\x01a")}
	if err := QueryUDP(t.Context(), []string{other.addr(), s.addr()}, quick, q, collect(&got)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 2}, got); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	if n := len(other.queries()); n == 0 {
		t.Error("the first server was never asked")
	}
	ids := map[dhcpv6.TransactionID]bool{}
	for _, q := range s.queries() {
		ids[q.TransactionID] = true
	}
	if len(ids) != 3 {
		t.Errorf("%d transaction-ids, want 3", len(ids))
	}
	again := newUDPServer(t, func(_ int, m dhcpv6.Message) [][]byte {
		return [][]byte{encode(lqReply, m.TransactionID, head(), must(dhcpv6.NewLQClientLink(links...)))}
	})
	q.LinkAddress = links[0]
	if err := QueryUDP(t.Context(), []string{again.addr()}, quick, q, collect(&got)); !errors.Is(err, ErrProtocol) {
		t.Errorf("a list of links about one link: %v", err)
	}
}

func TestUDPCannotAsk(t *testing.T) {
	start := uint32(1)
	for name, tc := range map[string]struct {
		servers []string
		q       Query
	}{
		"by relay-id":    {[]string{"[::1]:547"}, Query{Type: dhcpv6.QueryByRelayID, RelayID: []byte("r")}},
		"by link":        {[]string{"[::1]:547"}, Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: netip.MustParseAddr("2001:db8::")}},
		"with base time": {[]string{"[::1]:547"}, Query{Type: dhcpv6.QueryByAddress, Address: netip.MustParseAddr("2001:db8::1"), BaseTime: true}},
		"since a time":   {[]string{"[::1]:547"}, Query{Type: dhcpv6.QueryByAddress, Address: netip.MustParseAddr("2001:db8::1"), StartTime: &start}},
		"no server":      {nil, anAddress()},
		"no port":        {[]string{"::1"}, anAddress()},
		"no address":     {[]string{"[::1]:547"}, Query{Type: dhcpv6.QueryByAddress}},
	} {
		if err := QueryUDP(t.Context(), tc.servers, quick, tc.q, collect(new([]int))); !errors.Is(err, ErrQuery) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUDPEndsWithItsContext(t *testing.T) {
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := newUDPServer(t, func(int, dhcpv6.Message) [][]byte { cancel(why); return nil })
	config := quick
	config.MinBackoff = time.Hour
	if err := QueryUDP(ctx, []string{s.addr()}, config, anAddress(), collect(new([]int))); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

func TestUDPHandsOverErrors(t *testing.T) {
	s := newUDPServer(t, always)
	why := errors.New("no room")
	if err := QueryUDP(t.Context(), []string{s.addr()}, quick, anAddress(), func(*Client) error { return why }); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

func TestUDPLooksNamesUp(t *testing.T) {
	s := newUDPServer(t, always)
	_, port, _ := net.SplitHostPort(s.addr())
	config := quick
	config.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		if host != "relay.example" {
			return nil, errors.New("no such name")
		}
		return []netip.Addr{netip.IPv6Loopback()}, nil
	}
	var got []int
	if err := QueryUDP(t.Context(), []string{"nobody.example:547", net.JoinHostPort("relay.example", port)}, config, anAddress(), collect(&got)); err != nil || len(got) != 1 {
		t.Errorf("clients %v, %v", got, err)
	}
}

// told is OPTION_CLIENT_DATA of a client.
func told(n int) dhcpv6.Options { return must(dhcpv6.ClientData{Options: client(n)}) }
