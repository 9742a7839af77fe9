package leasequery_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	other "github.com/insomniacslk/dhcp/dhcpv6"
	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/leasequery/leasequerytest"
)

type linkOf = leasequerytest.Link

// reader reads an answer with another project's decoder, and what that does not know by hand.
type reader struct {
	t    *rapid.T
	base bool
}

// read is the whole answer in words. Everything that an answer's form must have is checked on the way.
func (r reader) read(over leasequery.Transport, messages [][]byte) (out outcome) {
	for n, b := range messages {
		m, err := other.MessageFromBytes(b)
		if err != nil {
			r.t.Fatalf("message %d: %v: %x", n, err, b)
		}
		if m.TransactionID != (other.TransactionID{0xab, 0xcd, 0xef}) {
			r.t.Fatalf("message %d: transaction-id %v", n, m.TransactionID)
		}
		want := map[bool][]other.OptionCode{true: {optClientID, optServerID}, false: nil}[n == 0]
		if r.base {
			want = append(want, optBaseTime)
		}
		last := n == len(messages)-1
		switch {
		case n == 0 && m.MessageType != msgReply, n > 0 && !last && m.MessageType != msgData, n > 0 && last && m.MessageType != msgDone:
			r.t.Fatalf("message %d of %d is %v", n, len(messages), m.MessageType)
		case n > 0 && last:
		case m.GetOneOption(optStatus) != nil:
			want = append(want, optStatus)
			out.Status = int(m.Options.Status().StatusCode)
		case m.GetOneOption(optClientLink) != nil:
			want = append(want, optClientLink)
			out.Links = r.links(m.GetOneOption(optClientLink).ToBytes())
		case n > 0 || len(messages) > 1 || m.GetOneOption(optClientData) != nil:
			want = append(want, optClientData)
			out.Clients = append(out.Clients, r.client(m.GetOneOption(optClientData).ToBytes()))
		}
		var got []other.OptionCode
		for _, o := range m.Options.Options {
			got = append(got, o.Code())
		}
		if !slices.Equal(got, want) {
			r.t.Fatalf("message %d of %d has options %v, want %v", n, len(messages), got, want)
		}
	}
	if done := len(messages) > 1; over == leasequery.TCP && done != (len(out.Clients) > 0) || over == leasequery.UDP && done {
		r.t.Fatalf("%d messages for %d clients", len(messages), len(out.Clients))
	}
	return out
}

func (r reader) links(v []byte) (out []netip.Addr) {
	for ; len(v) >= 16; v = v[16:] {
		out = append(out, netip.AddrFrom16([16]byte(v)))
	}
	return out
}

// client reads OPTION_CLIENT_DATA: CLIENTID, addresses and prefixes, CLT_TIME, client options, relay data, in this order.
func (r reader) client(v []byte) (c client) {
	var options other.Options
	if err := options.FromBytes(v); err != nil {
		r.t.Fatalf("client data %x: %v", v, err)
	}
	stage := 0
	for n, o := range options {
		at := 3
		switch o := o.(type) {
		case *other.OptIAAddress:
			at = 1
			c.Bindings = append(c.Bindings, fmt.Sprintf("%v %d/%d", o.IPv6Addr, int(o.PreferredLifetime.Seconds()), int(o.ValidLifetime.Seconds())))
		case *other.OptIAPrefix:
			at = 1
			c.Bindings = append(c.Bindings, fmt.Sprintf("%v %d/%d", o.Prefix, int(o.PreferredLifetime.Seconds()), int(o.ValidLifetime.Seconds())))
		default:
			switch o.Code() {
			case optClientID:
				at, c.DUID = 0, string(o.ToBytes())
			case optCLT:
				at, c.CLT = 2, binary.BigEndian.Uint32(o.ToBytes())
			case optRelayData:
				at, c.Relay = 4, r.relay(o.ToBytes())
			default:
				c.Options = append(c.Options, fmt.Sprintf("%d %x", o.Code(), o.ToBytes()))
			}
		}
		if at < stage || n == 0 && at != 0 || at == stage && (at == 0 && n > 0 || at == 2 || at == 4) {
			r.t.Fatalf("client data has %v out of place: %x", o.Code(), v)
		}
		stage = at
	}
	if len(c.Bindings) == 0 || stage < 2 {
		r.t.Fatalf("client data lacks something: %x", v)
	}
	return c
}

// relay reads OPTION_LQ_RELAY_DATA; levels by the other decoder, their options by hand.
func (r reader) relay(v []byte) []string {
	words := []string{netip.AddrFrom16([16]byte(v)).String()}
	for b := v[16:]; b != nil; {
		m, err := other.RelayMessageFromBytes(b)
		if err != nil || m.MessageType != msgRelayForw {
			r.t.Fatalf("relay data %x: %v, %v", b, m, err)
		}
		own, inner := b[34:], []byte(nil)
		for at := 34; at < len(b); {
			n := 4 + int(binary.BigEndian.Uint16(b[at+2:]))
			if binary.BigEndian.Uint16(b[at:]) == optRelayMsg {
				if at+n != len(b) {
					r.t.Fatalf("octets behind OPTION_RELAY_MSG: %x", b)
				}
				own, inner = b[34:at], b[at+4:]
			}
			at += n
		}
		words = append(words, fmt.Sprintf("%d %v %v %x", m.HopCount, m.LinkAddr, m.PeerAddr, own))
		b = inner
	}
	return words
}

// TestAnswersAreThoseOfALinearScan: whatever the state and the question, the answer's octets, read by another decoder, are what
// looking at every binding gives.
func TestAnswersAreThoseOfALinearScan(t *testing.T) {
	all, found := []string{"status", "links", "nothing", "client", "clients"}, map[string]int{}
	check := func(t *rapid.T) {
		s := drawScene(t)
		for range questions {
			s.drawQuestion(t)
			want, got := s.expected(), s.ask(t)
			if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("answer (-want +got):\n%s", d)
			}
			found[kindOf(got)]++
		}
	}
	rapid.Check(t, check)
	for n := 0; len(found) < len(all) && n < 10; n++ { // the rarest, links, is one in 350
		rapid.Check(t, check)
	}
	for _, what := range all {
		if found[what] == 0 {
			t.Errorf("no question had the outcome %q: %v", what, found)
		}
	}
}

func kindOf(o outcome) string {
	switch {
	case o.Status != 0:
		return "status"
	case len(o.Links) > 0:
		return "links"
	case len(o.Clients) == 0:
		return "nothing"
	case len(o.Clients) == 1:
		return "client"
	}
	return "clients"
}

// TestRestrictedRequestorSeesOnlyItsOwn: no address, prefix, client-id, option or relay of a binding that a restricted requestor
// does not relay is in any octet of its answers.
func TestRestrictedRequestorSeesOnlyItsOwn(t *testing.T) {
	hidden, shown := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := drawScene(t)
		for range questions {
			s.drawQuestion(t)
			s.requestor = &leasequery.Requestor{RelayData: leasequery.RelayDataAlways, Restricted: drawRestriction(t)}
			for _, c := range s.ask(t).Clients {
				told, kept := s.checkOwn(t, c)
				shown, hidden = shown+told, hidden+kept
			}
		}
	})
	if hidden == 0 || shown == 0 {
		t.Errorf("%d bindings shown, %d hidden of clients that were shown: nothing was put to the test", shown, hidden)
	}
}

// checkOwn checks that everything told of a client is of bindings that the restricted requestor relays. It returns how many
// bindings of the client were told, and how many were not because another relays them.
func (s *scene) checkOwn(t *rapid.T, c client) (told, kept int) {
	x := s.requestor.Restricted
	chainIsOwn := len(c.Relay) == 0
	for i := range s.bindings {
		h := &s.bindings[i]
		own := s.relays(x, h)
		switch {
		case slices.ContainsFunc(c.Bindings, func(b string) bool { return hasKey(b, h) }):
			if told++; !own {
				t.Fatalf("told of %v, which another relays", h.Prefix)
			}
		case h.DUID == c.DUID && !own:
			kept++
		}
		chainIsOwn = chainIsOwn || own && slices.Equal(s.relayWords(h), c.Relay)
	}
	if !chainIsOwn {
		t.Fatalf("told of the chain %v of another relay", c.Relay)
	}
	return told, kept
}

// ask asks the question and reads the whole answer.
func (s *scene) ask(t *rapid.T) outcome {
	w := s.world()
	a, err := w.begin(s.over, s.requestor, s.message())
	if err != nil {
		t.Fatal(err)
	}
	return s.read(t, a)
}

// read reads the whole answer and closes it.
func (s *scene) read(t *rapid.T, a *leasequery.Answer) outcome {
	defer a.Close()
	var messages [][]byte
	for more := true; more; {
		var m []byte
		var err error
		if m, more, err = a.Next(nil); err != nil {
			t.Fatal(err)
		}
		messages = append(messages, m)
	}
	return reader{t, s.base && s.over == leasequery.TCP}.read(s.over, messages)
}

// hasKey tells whether words of a binding are about h.
func hasKey(words string, h *held) bool {
	name := h.Prefix.String()
	if h.Prefix.Bits() == 128 {
		name = h.Prefix.Addr().String()
	}
	return len(words) > len(name) && words[:len(name)] == name && words[len(name)] == ' '
}
