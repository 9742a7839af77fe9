package dhcpv6

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// parsers has the parser of every typed option.
var parsers = map[OptionCode]func([]byte) (option, error){
	OptionClientID:        untyped(ParseClientID),
	OptionServerID:        untyped(ParseServerID),
	OptionIAAddr:          untyped(ParseIAAddress),
	OptionORO:             untyped(ParseORO),
	OptionStatusCode:      untyped(ParseStatusCode),
	OptionInterfaceID:     untyped(ParseInterfaceID),
	OptionIAPrefix:        untyped(ParseIAPrefix),
	OptionRemoteID:        untyped(ParseRemoteID),
	OptionSubscriberID:    untyped(ParseSubscriberID),
	OptionClientFQDN:      untyped(ParseClientFQDN),
	OptionERO:             untyped(ParseERO),
	OptionLQQuery:         untyped(ParseLQQuery),
	OptionClientData:      untyped(ParseClientData),
	OptionCLTTime:         untyped(ParseCLTTime),
	OptionLQRelayData:     untyped(ParseLQRelayData),
	OptionLQClientLink:    untyped(ParseLQClientLink),
	OptionRelayID:         untyped(ParseRelayID),
	OptionVSS:             untyped(ParseVSS),
	OptionClientLinkLayer: untyped(ParseClientLinkLayer),
	OptionLQBaseTime:      untyped(ParseBaseTime),
	OptionLQStartTime:     untyped(ParseStartTime),
	OptionLQEndTime:       untyped(ParseEndTime),
	OptionRelaySourcePort: untyped(ParseRelayPort),
}

func untyped[T option](parse func([]byte) (T, error)) func([]byte) (option, error) {
	return func(b []byte) (option, error) { return parse(b) }
}

// associations are OPTION_IA_NA, OPTION_IA_TA and OPTION_IA_PD (RFC 8415 21.4, 21.5, 21.21), which leasequery does not carry but
// its servers' other messages do: how many octets stand in front of their options.
var associations = map[OptionCode]int{3: 12, 4: 4, 25: 12}

// nested is the options inside an option's value.
func nested(o option) Options {
	switch o := o.(type) {
	case LQQuery:
		return o.Options
	case ClientData:
		return o.Options
	case IAAddress:
		return o.Options
	case IAPrefix:
		return o.Options
	}
	return nil
}

// census is what was found in options, at every depth.
type census struct {
	options map[OptionCode]int // how many of each code
	refused map[OptionCode]int // how many of them their parser refused
}

func newCensus() *census {
	return &census{options: map[OptionCode]int{}, refused: map[OptionCode]int{}}
}

// take walks options and all that nests in them. Every one must be written again as it was read, or be refused with an error
// that says where in its value.
func (c *census) take(t *testing.T, o Options) {
	t.Helper()
	var again []byte
	for code, value := range o.All() {
		again, _ = AppendOption(again, code, value) // a value that was read is not too long
		c.options[code]++
		c.takeOne(t, code, value)
	}
	if !bytes.Equal(again, o) {
		t.Errorf("options % x were walked as % x", o, again)
	}
}

func (c *census) takeOne(t *testing.T, code OptionCode, value []byte) {
	t.Helper()
	if code == OptionRelayMessage {
		c.takeRelayed(t, value)
		return
	}
	parse, ok := parsers[code]
	if !ok {
		if n, ok := associations[code]; ok && len(value) >= n && Options(value[n:]).Validate() == nil {
			c.take(t, Options(value[n:]))
		}
		return
	}
	typed, err := parse(value)
	if err != nil {
		var e *ParseError
		if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(value) {
			t.Errorf("%v % x: error %#v does not say where", code, value, err)
		}
		c.refused[code]++
		return
	}
	want, _ := AppendOption(nil, code, value)
	if got, err := typed.AppendBinary(nil); err != nil || !bytes.Equal(got, want) || typed.Length() != len(want) {
		t.Errorf("%v % x was written again as % x (Length %d), error %v", code, want, got, typed.Length(), err)
	}
	c.take(t, nested(typed))
	if d, ok := typed.(LQRelayData); ok && len(d.Message) > 0 {
		c.takeRelayed(t, d.Message)
	}
}

// takeRelayed is take for a message that may be relayed.
func (c *census) takeRelayed(t *testing.T, b []byte) {
	t.Helper()
	if len(b) == 0 || !slices.Contains([]MessageType{MessageRelayForward, MessageRelayReply}, MessageType(b[0])) {
		if m, err := ParseMessage(b); err == nil {
			c.take(t, m.Options)
		} else {
			c.refused[OptionRelayMessage]++
		}
		return
	}
	m, err := ParseRelayMessage(b)
	if err != nil {
		c.refused[OptionRelayMessage]++
		return
	}
	if got, err := m.AppendBinary(nil); err != nil || !bytes.Equal(got, b) || m.Length() != len(b) {
		t.Errorf("relay message % x was written again as % x (Length %d), error %v", b, got, m.Length(), err)
	}
	c.take(t, m.Options)
}

// Every code that has a name has a parser, but for OPTION_RELAY_MSG, whose value is a message.
func TestEveryOptionHasAParser(t *testing.T) {
	for code := range OptionCode(1000) {
		_, has := parsers[code]
		named := strings.HasPrefix(code.String(), "OPTION_")
		if named != (has || code == OptionRelayMessage) {
			t.Errorf("%v: parser %v", code, has)
		}
	}
}
