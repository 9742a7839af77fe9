package requestor

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

var (
	ownID    = []byte{0, 3, 0, 1, 1, 2, 3, 4, 5, 6}
	serverID = []byte{0, 2, 0, 0, 0, 9, 1}
)

// act is what a scripted server does on one connection: it reads one query for each entry of replies and answers it with the
// messages that the entry makes, then closes, or stays silent.
type act struct {
	replies []func(id dhcpv6.TransactionID) []dhcpv6.Message
	after   time.Duration // how long it thinks before each answer
	stops   int           // messages after which it thinks once more for so long; 0: none
	silent  bool          // does not close at the end
	refused bool          // no connection at all
}

// servers are scripted servers by name: each connection to one plays its next act.
type servers struct {
	t    *testing.T
	mu   sync.Mutex
	acts map[string][]act
	log  []string // the names of the servers as they were dialled
	asks []dhcpv6.Message
	wg   sync.WaitGroup
}

func newScripted(t *testing.T, acts map[string][]act) *servers {
	s := &servers{t: t, acts: acts}
	t.Cleanup(s.wg.Wait)
	return s
}

func (s *servers) config() Config { return Config{ClientID: ownID, Dial: s.dial} }

func (s *servers) dial(_ context.Context, name string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, name)
	if len(s.acts[name]) == 0 || s.acts[name][0].refused {
		if len(s.acts[name]) > 0 {
			s.acts[name] = s.acts[name][1:]
		}
		return nil, fmt.Errorf("connect to %s: connection refused", name)
	}
	a := s.acts[name][0]
	s.acts[name] = s.acts[name][1:]
	client, server := net.Pipe()
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		s.play(a, server)
	}()
	return client, nil
}

func (s *servers) play(a act, c net.Conn) {
	frames := dhcpv6.NewReader(c, nil)
	for _, reply := range a.replies {
		frame, err := frames.Next()
		if err != nil {
			return
		}
		m, err := dhcpv6.ParseMessage(frame)
		if err != nil {
			s.t.Errorf("query: %v", err)
			return
		}
		s.mu.Lock()
		s.asks = append(s.asks, dhcpv6.Message{Type: m.Type, Options: append(dhcpv6.Options(nil), m.Options...)})
		s.mu.Unlock()
		<-time.After(a.after) // of the bubble's time
		for n, r := range reply(m.TransactionID) {
			if n > 0 && n == a.stops {
				<-time.After(a.after)
			}
			b, err := dhcpv6.AppendFrame(nil, r)
			if err != nil {
				s.t.Errorf("reply: %v", err)
				return
			}
			if r.Type == 0 {
				b = r.Options // raw octets
			}
			if _, err := c.Write(b); err != nil {
				return // the requestor closed first, as it may
			}
		}
	}
	if a.silent {
		for _, err := frames.Next(); err == nil; _, err = frames.Next() { // until the requestor closes
		}
	}
	_ = c.Close() // a pipe's close does not fail
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

func client(n int) dhcpv6.Options {
	duid := binary.BigEndian.AppendUint32([]byte{0, 2}, uint32(n))
	addr := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 14: byte(n >> 8), 15: byte(n)})
	return must(dhcpv6.ClientID(duid), dhcpv6.CLTTime(7), dhcpv6.IAAddress{Address: addr, Preferred: 10, Valid: 20})
}

func head() dhcpv6.Options { return must(dhcpv6.ClientID(ownID), dhcpv6.ServerID(serverID)) }

func join(parts ...dhcpv6.Options) dhcpv6.Options {
	var b dhcpv6.Options
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func message(t dhcpv6.MessageType, id dhcpv6.TransactionID, options dhcpv6.Options) dhcpv6.Message {
	return dhcpv6.Message{Type: t, TransactionID: id, Options: options}
}

// whole is a complete answer of clients from..to-1; part is it without its LEASEQUERY-DONE.
func whole(from, to int) func(dhcpv6.TransactionID) []dhcpv6.Message {
	return func(id dhcpv6.TransactionID) []dhcpv6.Message {
		if from == to {
			return []dhcpv6.Message{message(dhcpv6.MessageLeasequeryReply, id, head())}
		}
		return append(part(from, to)(id), message(dhcpv6.MessageLeasequeryDone, id, nil))
	}
}

func part(from, to int) func(dhcpv6.TransactionID) []dhcpv6.Message {
	return func(id dhcpv6.TransactionID) []dhcpv6.Message {
		out := []dhcpv6.Message{message(dhcpv6.MessageLeasequeryReply, id, join(head(), must(dhcpv6.ClientData{Options: client(from)})))}
		for n := from + 1; n < to; n++ {
			out = append(out, message(dhcpv6.MessageLeasequeryData, id, must(dhcpv6.ClientData{Options: client(n)})))
		}
		return out
	}
}

func status(s dhcpv6.Status) func(dhcpv6.TransactionID) []dhcpv6.Message {
	return func(id dhcpv6.TransactionID) []dhcpv6.Message {
		return []dhcpv6.Message{message(dhcpv6.MessageLeasequeryReply, id,
			join(head(), must(dhcpv6.StatusCode{Status: s, Text: "because"})))}
	}
}

// terminated is a partial answer that ends with a status.
func terminated(from, to int, s dhcpv6.Status) func(dhcpv6.TransactionID) []dhcpv6.Message {
	return func(id dhcpv6.TransactionID) []dhcpv6.Message {
		return append(part(from, to)(id), message(dhcpv6.MessageLeasequeryDone, id, must(dhcpv6.StatusCode{Status: s, Text: "because"})))
	}
}

func once(replies ...func(dhcpv6.TransactionID) []dhcpv6.Message) act { return act{replies: replies} }

// collect gathers the numbers of the clients that come.
func collect(into *[]int) func(*Client) error {
	return func(c *Client) error {
		*into = append(*into, int(binary.BigEndian.Uint32(c.DUID[2:])))
		return nil
	}
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

var everything = Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: netip.MustParseAddr("2001:db8::")}
