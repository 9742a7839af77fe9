package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// FuzzClientData: whatever a server says of a client, by bulk or in a subscription, what is stated of it may be stored, and what is not
// stated is counted or no lease.
func FuzzClientData(f *testing.F) {
	relay := dhcpv6.RelayMessage{Type: dhcpv6.MessageRelayForward, HopCount: 1, LinkAddress: na, PeerAddress: nb, Options: must(dhcpv6.InterfaceID("i"))}
	chain, err := relay.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	c := with(of("c", 3), na, 5, 9, pd, never, never)
	whole := holds(&c)[4:]
	relayed := must(dhcpv6.LQRelayData{Peer: far, Message: chain})
	f.Add([]byte(whole), []byte(join(whole, relayed)))
	f.Add([]byte(join(whole, relayed[:len(relayed)-3])), []byte(join(whole, must(dhcpv6.CLTTime(never)))))
	f.Add([]byte(whole), []byte(spoilt("c")[4:]))
	f.Add([]byte(whole), []byte(spoilt("")[4:]))
	gone := with(of("c", 3), na, 0, 0)
	f.Add([]byte(join(whole, dhcpv6.Options{0, 39, 0, 1, 5})), []byte(holds(&gone)[4:]))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for _, active := range []bool{false, true} {
			stateOctets(t, active, first, second)
		}
	})
}

// stateOctets has a server say two client data, in one answer or in a subscription.
func stateOctets(t *testing.T, active bool, first, second []byte) {
	config := Config{Servers: []string{"a"}, RelayIDs: [][]byte{{1}}, Active: active, Every: time.Hour}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	m := newModel(t)
	teller, err := s.begin(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	r := s.requestor(nil)
	r.ClientID = ownID
	r.Dial = func(context.Context, string) (net.Conn, error) { return &answering{first: first, second: second}, nil }
	clients, withBindings, unreadable := 0, 0, 0
	err = requestor.QueryAny(t.Context(), s.config.Servers, r, s.queries[0].Query, func(c *requestor.Client) error {
		clients++
		if c.Unreadable {
			unreadable++
			if len(c.Addresses)+len(c.Prefixes) > 0 || c.Flaw == nil {
				t.Errorf("unreadable, and yet %+v", c)
			}
		}
		withBindings += len(c.Addresses) + len(c.Prefixes)
		return teller.take(c, origin{link: noLink, live: active})
	})
	if f := fatal(err); f != nil || errors.Is(err, errFull) {
		t.Errorf("stating failed: %v", err)
	}
	if err == nil { // the answer was whole: the statement ends, unless it is not known whose the rest was
		doubt := teller.unread.inDoubt(s.known) != nil
		if err := teller.end(); err != nil {
			t.Error(err)
		}
		if (m.ends() == 0) != doubt || unreadable == 0 && doubt {
			t.Errorf("%d clients cannot be read, %d statements ended, in doubt: %v", unreadable, m.ends(), doubt)
		}
	}
	if err := teller.close(); err != nil {
		t.Error(err)
	}
	if refused := s.Condition().Refused; len(m.held) > withBindings || refused > uint64(3*withBindings+clients) {
		t.Errorf("%d bindings held and %d refused of %d of %d clients", len(m.held), refused, withBindings, clients)
	}
}

// answering is a connection that answers the first query with two client data, and then ends.
type answering struct {
	net.Conn
	left          []byte
	first, second []byte
}

func (a *answering) Close() error                     { return nil }
func (a *answering) SetReadDeadline(time.Time) error  { return nil }
func (a *answering) SetWriteDeadline(time.Time) error { return nil }

func (a *answering) Read(p []byte) (int, error) {
	if len(a.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, a.left)
	a.left = a.left[n:]
	return n, nil
}

func (a *answering) Write(p []byte) (int, error) {
	m, err := dhcpv6.ParseMessage(p[2:])
	if err != nil {
		return 0, err
	}
	head := must(dhcpv6.ClientID(ownID), dhcpv6.ServerID(serverID))
	data := func(octets []byte) dhcpv6.Options {
		out, err := dhcpv6.AppendOption(nil, dhcpv6.OptionClientData, octets)
		if err != nil {
			return nil // longer than an option can be
		}
		return out
	}
	for _, x := range []dhcpv6.Message{
		{Type: dhcpv6.MessageLeasequeryReply, TransactionID: m.TransactionID, Options: join(head, data(a.first))},
		{Type: dhcpv6.MessageLeasequeryData, TransactionID: m.TransactionID, Options: data(a.second)},
		{Type: dhcpv6.MessageLeasequeryDone, TransactionID: m.TransactionID},
	} {
		if a.left, err = dhcpv6.AppendFrame(a.left, x); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
