package kea

import (
	"bytes"
	"fmt"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// relay is one relay's part of a lease's extended information.
type relay struct {
	hop        uint8
	link, peer netip.Addr
	options    []byte // code, length, value triples
}

// userContext reads the JSON of a lease's user context for the relay data in it:
//
//	2.2:  {"ISC": {"relays":     [{"hop": 1, "link": "2001:db8::1", "options": "0x0012…", "peer": "fe80::1"}, …]}}
//	2.4:  {"ISC": {"relay-info": [{… the same …, "relay-id": "0002…", "remote-id": "00007ED9…"}, …]}}
//
// The outermost relay is first. relay-id and remote-id are passed over: options holds them, and in both releases.
type userContext struct {
	json    reader
	text    []byte  // unescaped
	relays  []relay // reused
	octets  []byte  // of all options
	problem error   // why the relay data cannot be used; the JSON itself is sound
	current bool    // relays came from the key of 2.4
}

// parse reads the escaped column. The error says why the text is not JSON; what is wrong with relay data in sound JSON is in
// problem, and relays is then empty.
func (u *userContext) parse(escaped []byte) (err error) {
	if len(escaped) == 0 {
		u.reset()
		return nil
	}
	if u.text, err = appendUnescaped(u.text[:0], escaped); err != nil {
		u.reset()
		return err
	}
	return u.read(u.text)
}

// reset forgets what the last context had.
func (u *userContext) reset() {
	u.relays, u.octets, u.problem, u.current = u.relays[:0], u.octets[:0], nil, false
}

// read is parse of JSON itself.
func (u *userContext) read(text []byte) error {
	u.reset()
	u.json.src, u.json.pos, u.json.depth = text, 0, 0
	if err := u.json.object(u.top); err != nil {
		return err
	}
	if err := u.json.end(); err != nil {
		return err
	}
	if u.problem == nil {
		u.problem = u.checkChain()
	}
	if u.problem != nil {
		u.relays = u.relays[:0]
	}
	return nil
}

func (u *userContext) top(key []byte) error {
	if string(key) == "ISC" && u.json.next() == '{' {
		return u.json.object(u.isc)
	}
	return u.json.skip()
}

func (u *userContext) isc(key []byte) error {
	current := string(key) == "relay-info"
	if (!current && string(key) != "relays") || (u.current && !current) {
		return u.json.skip()
	}
	u.relays, u.octets, u.problem, u.current = u.relays[:0], u.octets[:0], nil, current
	if u.json.next() != '[' {
		u.complain("%s is not a list", key)
		return u.json.skip()
	}
	return u.json.array(u.relay)
}

// complain keeps the first thing that is wrong with the relay data.
func (u *userContext) complain(format string, args ...any) {
	if u.problem == nil {
		u.problem = fmt.Errorf("%w: "+format, append([]any{ErrRelays}, args...)...)
	}
}

// relay takes one element of the list.
func (u *userContext) relay() error {
	if u.json.next() != '{' {
		u.complain("a relay is not an object")
		return u.json.skip()
	}
	u.relays = append(u.relays, relay{})
	seen := 0
	err := u.json.object(func(key []byte) error {
		this := &u.relays[len(u.relays)-1]
		switch string(key) {
		case "hop":
			seen |= 1
			return u.hop(this)
		case "link":
			seen |= 2
			return u.address(&this.link, "link")
		case "peer":
			seen |= 4
			return u.address(&this.peer, "peer")
		case "options":
			return u.options(this)
		}
		return u.json.skip()
	})
	if err == nil && seen != 7 {
		u.complain("a relay without hop, link or peer")
	}
	return err
}

func (u *userContext) hop(this *relay) error {
	start := u.json.pos
	v, err := u.json.unsigned(255)
	if err != nil {
		u.json.pos = start
		u.complain("hop is not a number from 0 to 255")
		return u.json.skip()
	}
	this.hop = uint8(v)
	return nil
}

// string takes a string; ok is false, with the value skipped, when it is none.
func (u *userContext) string(key string) (text []byte, ok bool, err error) {
	if u.json.next() != '"' {
		u.complain("%s is not a string", key)
		return nil, false, u.json.skip()
	}
	text, err = u.json.string()
	return text, err == nil, err
}

func (u *userContext) address(into *netip.Addr, key string) error {
	text, ok, err := u.string(key)
	if !ok {
		return err
	}
	a, ok := parseAddr(text)
	if !ok {
		u.complain("%s %q is not an IPv6 address", key, clip(text))
		return nil
	}
	*into = a
	return nil
}

func (u *userContext) options(this *relay) error {
	text, ok, err := u.string("options")
	if !ok {
		return err
	}
	digits, prefixed := bytes.CutPrefix(text, []byte("0x"))
	start := len(u.octets)
	if u.octets, ok = appendHex(u.octets, digits); !ok || (!prefixed && len(text) > 0) {
		u.complain("options %q are not hex with 0x before it", clip(text))
		return nil
	}
	this.options = u.octets[start:len(u.octets):len(u.octets)]
	return nil
}

// clip shortens a value for a message.
func clip(b []byte) []byte { return b[:min(len(b), 64)] }

// checkChain holds the relay data against what a binding may carry.
func (u *userContext) checkChain() error {
	if len(u.relays) > binding.MaxHops {
		return fmt.Errorf("%w: %d relays, at most %d", ErrRelays, len(u.relays), binding.MaxHops)
	}
	const header, level = 16, 1 + 16 + 16 + 2 // binding.Chain
	size := header + level*len(u.relays) + len(u.octets)
	if size > binding.MaxChain {
		return fmt.Errorf("%w: chain of %d octets, at most %d", ErrRelays, size, binding.MaxChain)
	}
	for i := range u.relays {
		options := dhcpv6.Options(u.relays[i].options)
		if err := options.Validate(); err != nil {
			return fmt.Errorf("%w: options of relay %d: %w", ErrRelays, i, err)
		}
		if options.Count(dhcpv6.OptionRelayMessage) > 0 {
			return fmt.Errorf("%w: options of relay %d hold a relay message", ErrRelays, i)
		}
	}
	return nil
}
