//go:build linux

package feedtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	other "github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// Air is what the messages of any number of clients go through: the link itself for clients on the server's link, a relay for
// the others.
type Air struct {
	relay, link net.PacketConn
	servers     []net.Addr // of relayed messages
	all         net.Addr   // All_DHCP_Relay_Agents_and_Servers on the link
	ended       sync.WaitGroup

	mu      sync.Mutex
	waiting map[other.TransactionID]chan received
	newest  uint32 // transaction ID
}

// received is an answer, and when it came.
type received struct {
	packet other.DHCPv6
	at     time.Time
}

// NewAir opens the ways of clients on a host to servers on the same bridge, until the test ends. Relays send to all of them; the
// answer that comes first counts.
func NewAir(tb testing.TB, host *netlab.Host, servers ...netip.Addr) *Air {
	tb.Helper()
	a := &Air{waiting: map[other.TransactionID]chan received{}}
	for _, s := range servers {
		a.servers = append(a.servers, net.UDPAddrFromAddrPort(netip.AddrPortFrom(s, 547)))
	}
	var index int
	err := host.Do(func() error {
		i, err := net.InterfaceByName(netlab.Interface)
		if err == nil {
			index = i.Index
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	a.all = &net.UDPAddr{IP: net.ParseIP("ff02::1:2"), Port: 547, Zone: fmt.Sprint(index)}
	if a.relay, err = host.ListenPacket("udp6", host.AddrPort(547)); err != nil {
		tb.Fatal(err)
	}
	if a.link, err = host.ListenPacket("udp6", "[::]:546"); err != nil {
		tb.Fatal(err)
	}
	for _, c := range []net.PacketConn{a.relay, a.link} {
		if err := c.(*net.UDPConn).SetReadBuffer(4 << 20); err != nil {
			tb.Fatal(err)
		}
		a.ended.Go(func() { a.listen(c) })
	}
	tb.Cleanup(func() {
		a.relay.Close()
		a.link.Close()
		a.ended.Wait()
	})
	return a
}

// Client makes a client. At each place those of different numbers are different.
func (a *Air) Client(number int, p Place) *Client { return &Client{Number: number, Place: p, air: a} }

// Clients makes so many clients, the first of them of that number.
func (a *Air) Clients(first, n int, p Place) []*Client {
	var all []*Client
	for i := range n {
		all = append(all, a.Client(first+i, p))
	}
	return all
}

func (a *Air) listen(c net.PacketConn) {
	b := make([]byte, 1<<16)
	for {
		n, _, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		now := time.Now()
		packet, err := other.FromBytes(bytes.Clone(b[:n]))
		if err != nil {
			continue // whoever waits for it tells that it did not come
		}
		id, err := other.GetTransactionID(packet)
		if err != nil {
			continue
		}
		a.mu.Lock()
		to := a.waiting[id]
		delete(a.waiting, id)
		a.mu.Unlock()
		if to != nil {
			to <- received{packet, now}
		}
	}
}

// expect gives the message a transaction ID that no other message has which waits for its answer, and the way on which the answer
// comes; forget ends it. Random ones of 24 bits are soon the same twice, with thousands of clients.
func (a *Air) expect(m *other.Message) <-chan received {
	answer := make(chan received, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	for taken := true; taken; {
		a.newest++
		m.TransactionID = other.TransactionID{byte(a.newest >> 16), byte(a.newest >> 8), byte(a.newest)}
		_, taken = a.waiting[m.TransactionID]
	}
	a.waiting[m.TransactionID] = answer
	return answer
}

func (a *Air) forget(id other.TransactionID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, id)
}

// ask sends a client's message and awaits the answer. It sends again after a second and after two more, four more… as
// RFC 8415 (section 15) has it, for as long as ctx lets it.
func (a *Air) ask(ctx context.Context, c *Client, m *other.Message) (*other.Message, error) {
	answer := a.expect(m)
	defer a.forget(m.TransactionID)
	conn, to, wrapped, err := a.relay, a.servers, other.DHCPv6(m), error(nil)
	if c.Place.Relays == 0 {
		conn, to = a.link, []net.Addr{a.all}
	} else if wrapped, err = c.wrap(m); err != nil {
		return nil, err
	}
	octets := wrapped.ToBytes()
	for wait := time.Second; ; wait *= 2 {
		for _, server := range to {
			if _, err := conn.WriteTo(octets, server); err != nil {
				return nil, err
			}
		}
		again := time.NewTimer(wait)
		select {
		case r := <-answer:
			again.Stop()
			c.Replied = r.at
			return unwrap(wrapped, r.packet)
		case <-ctx.Done():
			again.Stop()
			return nil, fmt.Errorf("%w: %w", ErrSilent, ctx.Err())
		case <-again.C:
		}
	}
}

// wrap is what relays do to a client's message.
func (c *Client) wrap(m *other.Message) (other.DHCPv6, error) {
	number := make([]byte, 4)
	binary.BigEndian.PutUint32(number, uint32(c.Number))
	client := net.IP(append(net.ParseIP("fe80::200:0:0:0")[:12:12], number...))
	link := net.IP(c.Place.Link.AsSlice())
	port := func(r *other.RelayMessage) {
		r.AddOption(other.OptInterfaceID(fmt.Appendf(nil, "%s, port %d\x00\xff", c.Place.Name, c.Number)))
		r.AddOption(&other.OptRemoteID{EnterpriseNumber: 32473, RemoteID: append([]byte("line&"), number...)})
		r.AddOption(&other.OptionGeneric{OptionCode: other.OptionRelayAgentSubscriberID, OptionData: fmt.Appendf(nil, "s-%d", c.Number)})
	}
	relayID := &other.OptionGeneric{OptionCode: other.OptionRelayID, OptionData: append([]byte{0, 2, 0, 0, 0x7e, 0xd9}, c.Place.Name...)}
	if c.Place.Relays == 1 {
		r, err := other.EncapsulateRelay(m, other.MessageTypeRelayForward, link, client)
		if err != nil {
			return nil, err
		}
		port(r)
		r.AddOption(relayID)
		return r, nil
	}
	ldra, err := other.EncapsulateRelay(m, other.MessageTypeRelayForward, net.IPv6zero, client)
	if err != nil {
		return nil, err
	}
	port(ldra)
	r, err := other.EncapsulateRelay(ldra, other.MessageTypeRelayForward, link, client)
	if err != nil {
		return nil, err
	}
	r.HopCount = 1
	r.AddOption(other.OptInterfaceID([]byte("uplink")))
	r.AddOption(relayID)
	return r, nil
}

// unwrap takes the server's answer out of what relays get, and checks that each would find its way back.
func unwrap(sent, got other.DHCPv6) (*other.Message, error) {
	for {
		forward, relayed := sent.(*other.RelayMessage)
		reply, isReply := got.(*other.RelayMessage)
		if !relayed && !isReply {
			m, ok := got.(*other.Message)
			if !ok {
				return nil, errors.New("no message in the answer")
			}
			return m, nil
		}
		switch {
		case !relayed || !isReply:
			return nil, errors.New("the answer has not as many relays as the question")
		case reply.MessageType != other.MessageTypeRelayReply || reply.HopCount != forward.HopCount || !reply.PeerAddr.Equal(forward.PeerAddr),
			!bytes.Equal(reply.Options.InterfaceID(), forward.Options.InterfaceID()):
			return nil, fmt.Errorf("to %s the answer is %s", forward.Summary(), reply.Summary())
		}
		if sent, got = forward.Options.RelayMessage(), reply.Options.RelayMessage(); got == nil {
			return nil, errors.New("an empty Relay-reply")
		}
	}
}
