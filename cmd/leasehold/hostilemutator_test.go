//go:build linux

package main

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// mutator makes messages of every type that there is, whole ones, and then breaks them as somebody would who knows the format: lengths, codes,
// order, repetition, nesting and ends. The same seed makes the same ones.
type mutator struct {
	rng   *rand.Rand
	world *hostileWorld
}

// message is a whole message without framing.
func (m *mutator) message() []byte {
	id := m.rng.IntN(1 << 24)
	switch m.rng.IntN(10) {
	case 0:
		return message(dhcpv6.MessageStartTLS, id)
	case 1, 2, 3:
		return message(dhcpv6.MessageActiveLeasequery, id, m.active()...)
	case 4, 5:
		inner := m.message()
		for range m.rng.IntN(4) {
			inner = m.relayed(inner)
		}
		return inner
	case 6: // of a type that no requestor sends, or of none
		return message(dhcpv6.MessageType(m.rng.IntN(256)), id, optioned(m.query()))
	}
	return message(dhcpv6.MessageLeasequery, id, m.options()...)
}

// relayed is RELAY-FORW with the message in it, and with what relays add.
func (m *mutator) relayed(inner []byte) []byte {
	b := dhcpv6.AppendRelayHeader(nil, dhcpv6.MessageRelayForward, uint8(m.rng.IntN(40)), m.world.link(m.link()), netip.MustParseAddr("fe80::1"))
	options := [][]byte{
		sure(dhcpv6.AppendOption(nil, dhcpv6.OptionRelayMessage, inner[:min(len(inner), 60000)])),
		sure(dhcpv6.AppendOption(nil, dhcpv6.OptionInterfaceID, []byte("eth0"))),
		optioned(dhcpv6.NewERO(dhcpv6.OptionRemoteID, dhcpv6.OptionSubscriberID)),
		sure(dhcpv6.AppendOption(nil, dhcpv6.OptionRelaySourcePort, []byte{2, 0x23})),
		sure(dhcpv6.AppendOption(nil, dhcpv6.OptionVSS, []byte{255})),
	}
	m.shuffle(options)
	for _, o := range options[:max(1, m.rng.IntN(len(options)+1))] {
		b = append(b, o...)
	}
	return b
}

func (m *mutator) link() int { return m.rng.IntN(m.world.links) }

func (m *mutator) shuffle(all [][]byte) {
	m.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
}

// options are those of a LEASEQUERY, in any order.
func (m *mutator) options() [][]byte {
	all := [][]byte{optioned(m.query())}
	if m.rng.IntN(3) == 0 {
		all = append(all, optioned(dhcpv6.ServerID("\x00\x03\x00\x01server")))
	}
	if m.rng.IntN(4) == 0 {
		all = append(all, optioned(dhcpv6.StartTime(m.rng.Uint32())), optioned(dhcpv6.EndTime(m.rng.Uint32())))
	}
	if m.rng.IntN(4) == 0 {
		all = append(all, sure(dhcpv6.AppendOption(nil, dhcpv6.OptionCode(m.rng.IntN(70000)), []byte("unknown"))))
	}
	m.shuffle(all)
	return all
}

// active are the options of an ACTIVELEASEQUERY.
func (m *mutator) active() [][]byte {
	var all [][]byte
	if m.rng.IntN(3) > 0 {
		all = append(all, optioned(m.query()))
	}
	if m.rng.IntN(2) == 0 {
		all = append(all, optioned(dhcpv6.StartTime([]uint32{0, 1, m.rng.Uint32(), ^uint32(0)}[m.rng.IntN(4)])))
	}
	m.shuffle(all)
	return all
}

// query is OPTION_LQ_QUERY of any query type, or of one that there is not.
func (m *mutator) query() dhcpv6.LQQuery {
	link, client := m.link(), m.rng.IntN(m.world.clients)
	q := dhcpv6.LQQuery{Type: dhcpv6.QueryType(m.rng.IntN(7)), LinkAddress: netip.IPv6Unspecified()}
	if m.rng.IntN(2) == 0 {
		q.LinkAddress = m.world.link(link)
	}
	all := [][]byte{optioned(dhcpv6.NewORO(dhcpv6.OptionLQRelayData, dhcpv6.OptionClientFQDN, dhcpv6.OptionLQBaseTime))}
	switch q.Type {
	case dhcpv6.QueryByAddress:
		all = append(all, optioned(dhcpv6.IAAddress{Address: m.world.address(link, client)}))
	case dhcpv6.QueryByClientID:
		all = append(all, optioned(dhcpv6.ClientID(m.world.duid(link, client))))
	case dhcpv6.QueryByRelayID:
		all = append(all, optioned(dhcpv6.RelayID(m.world.relayID(link))))
	case dhcpv6.QueryByRemoteID:
		all = append(all, optioned(dhcpv6.RemoteID{Enterprise: 32473, ID: []byte("port")}))
	}
	m.shuffle(all)
	for _, o := range all {
		q.Options = append(q.Options, o...)
	}
	return q
}

// broken is a message with some things wrong, and perhaps none.
func (m *mutator) broken() []byte {
	b := m.message()
	for range 1 + m.rng.IntN(4) {
		b = m.mutate(b)
	}
	return b[:min(len(b), dhcpv6.MaxFrame)]
}

// mutate changes one thing. The options are found by their lengths, as they are by then.
func (m *mutator) mutate(b []byte) []byte {
	start := 4
	if len(b) > 34 && (b[0] == byte(dhcpv6.MessageRelayForward) || b[0] == byte(dhcpv6.MessageRelayReply)) {
		start = 34
	}
	spans := optionSpans(b, start, 0)
	if len(spans) == 0 || len(b) == 0 {
		return append(b, byte(m.rng.Uint32()))
	}
	s := spans[m.rng.IntN(len(spans))]
	whole := append([]byte(nil), b[s.at:s.end]...)
	switch m.rng.IntN(10) {
	case 0: // a length, by little
		binary.BigEndian.PutUint16(b[s.at+2:], binary.BigEndian.Uint16(b[s.at+2:])+uint16(m.rng.IntN(9))-4)
	case 1: // a length, of any size
		binary.BigEndian.PutUint16(b[s.at+2:], uint16(m.rng.Uint32()))
	case 2: // a code
		binary.BigEndian.PutUint16(b[s.at:], []uint16{0, 1, 2, 6, 9, 44, 45, 47, 100, 101, 102, 135, uint16(m.rng.Uint32())}[m.rng.IntN(13)])
	case 3: // the same one again
		return splice(b, s.end, s.end, whole)
	case 4: // one less
		return splice(b, s.at, s.end, nil)
	case 5: // the end
		return b[:m.rng.IntN(len(b)+1)]
	case 6: // one in itself
		if len(whole) < 30000 {
			return splice(b, s.at, s.end, sure(dhcpv6.AppendOption(nil, dhcpv6.OptionCode(binary.BigEndian.Uint16(whole)), whole)))
		}
	case 7: // one more in it, its length as it was
		return splice(b, s.at+4, s.at+4, []byte{0, byte(m.rng.IntN(110)), 0, byte(m.rng.IntN(20))})
	case 8: // an octet
		b[m.rng.IntN(len(b))] ^= 1 << m.rng.IntN(8)
	case 9: // many of it
		many := []byte(nil)
		for range m.rng.IntN(200) {
			many = append(many, whole...)
		}
		if len(many)+len(b) <= dhcpv6.MaxFrame {
			return splice(b, s.end, s.end, many)
		}
	}
	return b
}

// span is where an option stands in a message.
type span struct{ at, end int }

// optionSpans finds options, and those within OPTION_LQ_QUERY and OPTION_RELAY_MSG.
func optionSpans(b []byte, at, depth int) []span {
	var all []span
	for at+4 <= len(b) {
		end := at + 4 + int(binary.BigEndian.Uint16(b[at+2:]))
		if end > len(b) {
			break
		}
		all = append(all, span{at, end})
		if code := dhcpv6.OptionCode(binary.BigEndian.Uint16(b[at:])); depth < 3 {
			switch {
			case code == dhcpv6.OptionLQQuery && end-at > 21:
				all = append(all, optionSpans(b[:end], at+21, depth+1)...)
			case code == dhcpv6.OptionRelayMessage && end-at > 8:
				all = append(all, optionSpans(b[:end], at+8, depth+1)...)
			}
		}
		at = end
	}
	return all
}

// splice is b with what stands from one place to another replaced.
func splice(b []byte, from, to int, by []byte) []byte {
	out := make([]byte, 0, len(b)-(to-from)+len(by))
	return append(append(append(out, b[:from]...), by...), b[to:]...)
}
