package iscdhcp

import (
	"fmt"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// Holds is what a variable holds.
type Holds uint8

// What a variable can hold.
const (
	LinkAddress Holds = iota // of the outermost relay's message: 16 octets
	PeerAddress              // of the outermost relay's message: 16 octets
	HopCount                 // of the outermost relay's message: 1 octet
	InterfaceID              // the value of an option that a relay has added
	SubscriberID
	RemoteID // enterprise number first
	RelayID
)

// MaxRelays is how many relays Variable.Relay can tell apart.
const MaxRelays = binding.MaxHops

// Variable says what a variable means that `on commit { set NAME = … }` stores with a lease.
type Variable struct {
	Name  string
	Holds Holds
	Relay int  // of an option: which relay added it, as in v6relay(): 1 is nearest to the client; up to MaxRelays
	Hex   bool // the value is text by binary-to-ascii(16, 8, ":", …), not the octets themselves
}

// recipeRelays is how many relays the recipe asks for.
const recipeRelays = 4

// DefaultVariables are those that the recipe in deploy/examples/iscdhcp sets.
func DefaultVariables() []Variable {
	v := []Variable{
		{Name: "leasehold-link-address", Holds: LinkAddress},
		{Name: "leasehold-peer-address", Holds: PeerAddress},
		{Name: "leasehold-hop-count", Holds: HopCount},
	}
	for i := 1; i <= recipeRelays; i++ {
		v = append(v, Variable{Name: fmt.Sprintf("leasehold-interface-id-%d", i), Holds: InterfaceID, Relay: i},
			Variable{Name: fmt.Sprintf("leasehold-subscriber-id-%d", i), Holds: SubscriberID, Relay: i},
			Variable{Name: fmt.Sprintf("leasehold-remote-id-%d", i), Holds: RemoteID, Relay: i},
			Variable{Name: fmt.Sprintf("leasehold-relay-id-%d", i), Holds: RelayID, Relay: i})
	}
	return v
}

// Octets that a binding.Chain needs, and that each of its levels does beside its options.
const (
	chainHeader = 16
	levelHeader = 1 + 16 + 16 + 2
)

// optionCodes are those of the options, in ascending order of codes, as they are stated.
var optionCodes = []struct {
	holds Holds
	code  dhcpv6.OptionCode
	least int // octets of a value that is one
}{
	{InterfaceID, dhcpv6.OptionInterfaceID, 0}, {RemoteID, dhcpv6.OptionRemoteID, 4}, {SubscriberID, dhcpv6.OptionSubscriberID, 0},
	{RelayID, dhcpv6.OptionRelayID, 1},
}

// ddnsName is where dhcpd keeps the name that it has given to a client in DNS.
const ddnsName = "ddns-fwd-name"

// held is where a value belongs.
type held struct {
	holds Holds
	relay int
}

// scope is what the variables of a lease say.
type scope struct {
	values map[held][]byte
	name   string
	bad    *lineError // the first value that cannot be used
}

// take reads what follows set: NAME = VALUE. Variables of other names are passed over, and so are values of other types.
func (s *scope) take(variables map[string]Variable, words []token) {
	if len(words) != 3 || !words[1].is("=") {
		return
	}
	name := string(words[0].text)
	v, ours := variables[name]
	if !ours && name != ddnsName {
		return
	}
	value, err := words[2].octets()
	if err == nil && ours && v.Hex {
		var ok bool
		if value, ok = hexOctets(value); !ok {
			err = ErrString
		}
	}
	switch {
	case err != nil:
		s.fail(wrong(words[2], ErrRelays, name))
	case !ours:
		s.name = string(value) + "."
	default:
		if s.values == nil {
			s.values = map[held][]byte{}
		}
		s.values[held{v.Holds, v.Relay}] = value
	}
}

func (s *scope) fail(e *lineError) {
	if s.bad == nil {
		e.kept = true
		s.bad = e
	}
}

// relays are the relays that the values tell of, outermost first; none when they tell of none. The error is of values that cannot
// be used, which leave the lease as it is otherwise.
func (s *scope) relays(t token) ([]relay, *lineError) {
	n := s.count(t)
	if n == 0 || s.bad != nil {
		return nil, s.bad
	}
	out := make([]relay, n)
	size := chainHeader
	for i := range out {
		number := n - i // as v6relay counts them
		out[i] = relay{hop: uint8(number - 1), link: netip.IPv6Unspecified(), peer: netip.IPv6Unspecified()}
		for _, o := range optionCodes {
			value, ok := s.values[held{o.holds, number}]
			if !ok {
				continue
			}
			options, err := dhcpv6.AppendOption(out[i].options, o.code, value)
			if err != nil || len(value) < o.least {
				s.fail(wrong(t, ErrRelays, fmt.Sprintf("%v of %d octets", o.code, len(value))))
				return nil, s.bad
			}
			out[i].options = options
		}
		size += levelHeader + len(out[i].options)
	}
	if size > binding.MaxChain {
		s.fail(wrong(t, ErrRelays, fmt.Sprintf("a chain of %d octets, at most %d", size, binding.MaxChain)))
		return nil, s.bad
	}
	out[0].link, out[0].peer = s.address(LinkAddress, t), s.address(PeerAddress, t)
	if s.bad != nil {
		return nil, s.bad
	}
	return out, nil
}

// count is the number of relays: one more than the outermost hop-count, which each relay sets to one more than it got (RFC 8415
// 19.1), but never fewer than have left something.
func (s *scope) count(t token) int {
	n := 0
	for h := range s.values {
		switch h.holds {
		case HopCount:
			v := s.values[h]
			if len(v) != 1 || v[0] >= MaxRelays {
				s.fail(wrong(t, ErrRelays, fmt.Sprintf("hop-count %x", v)))
				continue
			}
			n = max(n, int(v[0])+1)
		case LinkAddress, PeerAddress:
			n = max(n, 1)
		default:
			n = max(n, min(h.relay, MaxRelays))
		}
	}
	return n
}

// address is an address of the outermost relay; :: when it is not known.
func (s *scope) address(h Holds, t token) netip.Addr {
	value, ok := s.values[held{h, 0}]
	if !ok {
		return netip.IPv6Unspecified()
	}
	if len(value) != 16 {
		s.fail(wrong(t, ErrRelays, fmt.Sprintf("an address of %d octets", len(value))))
		return netip.IPv6Unspecified()
	}
	return netip.AddrFrom16([16]byte(value))
}
