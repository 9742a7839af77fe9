package leasequery_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// RFC 7653 9.3, rules 11, 19: what is refused, with the base time, and ends the connection.
func TestSubscribeRefused(t *testing.T) {
	id := func(n int) []byte { return opt(optClientID, make([]byte, n)) }
	client := func(options ...[]byte) []byte { return lq(byClientID, "::", id(4), cat(options...)) }
	only := func(types ...dhcpv6.QueryType) *leasequery.Requestor { return &leasequery.Requestor{QueryTypes: types} }
	for _, tc := range []struct {
		name    string
		r       *leasequery.Requestor
		options []byte
		status  int
		text    string
	}{
		{"query type 0", nil, lq(0, "::", id(4)), unknownQueryType, "query type 0 is unknown"},
		{"query type 6", nil, lq(6, "::", id(4)), unknownQueryType, "query type 6 is unknown"},
		{"query type 255", nil, lq(255, "::"), unknownQueryType, "query type 255 is unknown"},
		{"LQ_QUERY empty", nil, opt(optQuery), malformed, "OPTION_LQ_QUERY of 0 octets is broken"},
		{"two LQ_QUERY", nil, cat(client(), client()), malformed, "more than one OPTION_LQ_QUERY"},
		{"no client-id in LQ_QUERY", nil, lq(byClientID, "::"), malformed, "QUERY_BY_CLIENTID with 0 OPTION_CLIENTID"},
		{"by link with ::", nil, lq(byLink, "::"), malformed, "QUERY_BY_LINK_ADDRESS with link-address ::"},
		{"end time", nil, opt(optEndTime, u32(nowBase)), malformed, "OPTION_LQ_END_TIME in ACTIVELEASEQUERY"},
		{"end time in LQ_QUERY", nil, client(opt(optEndTime, u32(nowBase))), malformed, "OPTION_LQ_END_TIME in ACTIVELEASEQUERY"},
		{"end time of 3 octets", nil, opt(optEndTime, make([]byte, 3)), malformed, "option 102 of 3 octets"},
		{"start time of 5 octets", nil, opt(optStartTime, make([]byte, 5)), malformed, "option 101 of 5 octets"},
		{"two start times", nil, cat(opt(optStartTime, u32(1)), opt(optStartTime, u32(1))), malformed, "more than one option 101"},
		{"two start times, one at each level", nil, cat(opt(optStartTime, u32(1)), client(opt(optStartTime, u32(1)))), malformed, "more than one option 101"},
		{"odd ORO", nil, opt(optORO, []byte{0}), malformed, "OPTION_ORO of 1 octets"},
		{"two OROs", nil, cat(oro(1), oro(2)), malformed, "more than one OPTION_ORO"},
		{"another VPN", nil, opt(optVSS, []byte{0, 'v'}), notConfigured, "no address space but the global one"},
		{"empty VSS", nil, opt(optVSS), malformed, "OPTION_VSS is empty"},
		{"an unknown link", nil, lq(byLink, "3fff::"), notConfigured, "no link has the link-address 3fff::"},
		{"an unknown link, by client-id", nil, lq(byClientID, "3fff::", id(4)), notConfigured, "no link has the link-address 3fff::"},
		{"an address on no link", nil, lq(byAddress, "::", iaAddr("3fff::1", 0, 0)), notConfigured, "no link holds 3fff::1"},
		{"a multicast address", nil, lq(byAddress, "::", iaAddr("ff02::1", 0, 0)), notConfigured, "ff02::1 is not a global unicast address"},
		{"a link-local address", nil, lq(byAddress, "2001:db8:1::", iaAddr("fe80::1", 0, 0)), notConfigured, "fe80::1 is not a global unicast address"},
		{"subscriptions refused by the stanza", &leasequery.Requestor{NoActive: true}, nil, notAllowed, "subscriptions are not allowed to this requestor"},
		{"a type that the stanza does not list", only(byRelayID), client(), notAllowed, "QUERY_BY_CLIENTID is not allowed to this requestor"},
		{"everything, where the stanza lists types", only(byRelayID), nil, notAllowed, "a subscription to everything is not allowed to this requestor"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := playing(t).subscribe(leasequery.Config{}, tc.r, active(tc.options))
			if !p.sub.Failed() {
				t.Error("it does not end the connection")
			}
			p.expect(subReply(0, status(tc.status, tc.text)))
		})
	}
	t.Run("no history", func(t *testing.T) {
		m, err := dhcpv6.ParseMessage(active())
		if err != nil {
			t.Fatal(err)
		}
		s, err := leasequery.New(leasequery.Config{}, house()).Subscribe(t.Context(), leasequery.Request{Message: m})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		out, more, err := s.Next(nil)
		if more || err != nil {
			t.Errorf("%v, %v", more, err)
		}
		compare(t, [][]byte{out}, [][]byte{reply(status(notSupported, "this server has no history of changes"))})
	})
}

// What gets no answer at all.
func TestSubscribeDiscarded(t *testing.T) {
	for _, tc := range []struct {
		name    string
		message []byte
		reason  string
	}{
		{"LEASEQUERY", query(lq(byLink, "2001:db8:1::")), leasequery.DiscardType},
		{"LEASEQUERY-REPLY", msg(msgReply, opt(optClientID, requestorID)), leasequery.DiscardType},
		{"no client-id", msg(msgActive), leasequery.DiscardNoClientID},
		{"empty client-id", msg(msgActive, opt(optClientID)), leasequery.DiscardNoClientID},
		{"client-id over 130 octets", msg(msgActive, opt(optClientID, make([]byte, 131))), leasequery.DiscardLongClientID},
		{"foreign server-id", active(opt(optServerID, requestorID)), leasequery.DiscardForeignServerID},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := playing(t).node
			m, err := dhcpv6.ParseMessage(tc.message)
			if err != nil {
				t.Fatal(err)
			}
			s, err := leasequery.New(leasequery.Config{}, n).Subscribe(t.Context(), leasequery.Request{Message: m})
			var d *leasequery.DiscardError
			if s != nil || !errors.Is(err, leasequery.ErrDiscard) || !errors.As(err, &d) || d.Reason != tc.reason {
				t.Errorf("got %v, %v, want the reason %q", s, err, tc.reason)
			}
		})
	}
}

// Options in any order, unknown ones, and the server's own id are no reason to refuse (RFC 8415 16).
func TestSubscribeTakesOptionsInAnyOrder(t *testing.T) {
	for _, m := range [][]byte{
		msg(msgActive, everything, opt(65000, []byte("x")), start(0), opt(optServerID, serverID), opt(optClientID, requestorID)),
		msg(msgActive, opt(optClientID, requestorID), lq(byClientID, "::", opt(65000), oro(optRelayData, 1), opt(optClientID, []byte("client-a")), start(0))),
	} {
		twoBindings(t).subscribe(leasequery.Config{}, nil, m).expect(
			subReply(0, clientData("client-a", 0, cat(iaAddr("2001:db8:1::a", 3600, 7200), iaPrefix("2001:db8:1:a00::/56", 3600, 7200)), throughA)),
			subData(0, status(catchUpComplete, "")))
	}
}

// Refuse is for what the listener refuses: with base time where the refused message would have had it.
func TestRefuseOfSubscriptions(t *testing.T) {
	e := leasequery.New(leasequery.Config{}, playing(t).node)
	m, err := dhcpv6.ParseMessage(active())
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Refuse(nil, m, dhcpv6.StatusNotSupported, "no")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, [][]byte{got}, [][]byte{subReply(0, status(notSupported, "no"))})
}

// FuzzSubscribe: whatever the octets of a message, it is discarded, refused with one REPLY, or answered by a REPLY and then DATA, each
// with base time, up to what there is to tell; and then by what changes.
func FuzzSubscribe(f *testing.F) {
	for _, seed := range [][]byte{
		active(), active(everything, start(0)), active(start(-1000)), active(opt(optEndTime, u32(1))), query(), active(lq(9, "::")),
		active(lq(byAddress, "::", iaAddr("2001:db8:1::a", 0, 0))), active(lq(byClientID, "2001:db8:1::", opt(optClientID, []byte("client-a"))), start(0)),
		active(lq(byRelayID, "::", opt(optRelayID, []byte("relay-a")), start(0))), active(lq(byLink, "2001:db8:ffff::1", oro(optFQDN, optRelayData)), start(0)),
		active(lq(byRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-a")), opt(optVSS, []byte{255}))),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		m, err := dhcpv6.ParseMessage(message)
		if err != nil {
			return // discarded before
		}
		id := bytes.Clone(message[1:4])
		p := twoBindings(t)
		s, err := leasequery.New(leasequery.Config{}, p.node).Subscribe(t.Context(), leasequery.Request{Message: m, Peer: relayAddr})
		if err != nil {
			if !errors.Is(err, leasequery.ErrDiscard) || s != nil {
				t.Fatalf("got %v, %v", s, err)
			}
			return
		}
		defer s.Close()
		want, failed := dhcpv6.MessageLeasequeryReply, s.Failed()
		for n := 0; !s.Waiting(); {
			b, more, err := s.Next(nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) == 0 {
				continue
			}
			m, err := dhcpv6.ParseMessage(b)
			if err != nil || m.Type != want || !bytes.Equal(m.TransactionID[:], id) || m.Options.Count(dhcpv6.OptionLQBaseTime) != 1 || more == failed {
				t.Fatalf("message %d: %x, %v", n, b, err)
			}
			if !more {
				return
			}
			want = dhcpv6.MessageLeasequeryData
			if n++; n > 3 {
				t.Fatal("more messages than there is to tell")
			}
		}
		p.at(0, p.gone(0x2, 0, "2001:db8:1::a", "client-a"))
		if _, more, err := s.Next(nil); !more || err != nil {
			t.Fatalf("behind a change: %v, %v", more, err)
		}
	})
}

// Every subscription, and why one was told that data is missing, is counted.
func TestSubscriptionsAreCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	config := leasequery.Config{Metrics: leasequery.NewMetrics(registry)}
	p := twoBindings(t).subscribe(config, nil, active(start(0)))
	p.expect(subReply(0, clientData("client-a", 0, cat(iaAddr("2001:db8:1::a", 3600, 7200), iaPrefix("2001:db8:1:a00::/56", 3600, 7200)))), subData(0, status(catchUpComplete, "")))
	p.subscribe(config, nil, active(start(100_000))).expect(subReply(0, status(dataMissing, "the start time is 99 s ahead")))
	p.subscribe(config, nil, active(lq(9, "::"))).expect(subReply(0, status(unknownQueryType, "query type 9 is unknown")))
	want := map[string]float64{
		leasequery.MetricAccepted + " everything": 2, leasequery.MetricCatchUps: 1, leasequery.MetricMissing + " start-ahead": 1,
		leasequery.MetricClients: 1, leasequery.MetricBindings: 2, leasequery.MetricStatuses + " UnknownQueryType": 1,
	}
	if d := cmp.Diff(want, counters(t, registry)); d != "" {
		t.Errorf("counted (-want +got):\n%s", d)
	}
}
