package leasequery_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// RFC 5007 4.2.1, 4.2.2, RFC 8415 16: what gets no answer, and is counted by its reason.
func TestDiscarded(t *testing.T) {
	q := lq(byClientID, "::", opt(optClientID, []byte("client-a")))
	me, long := opt(optClientID, requestorID), bytes.Repeat([]byte{7}, 131)
	for _, tc := range []struct {
		name    string
		message []byte
		reason  string
	}{
		{"no client-id", msg(msgQuery, q), leasequery.DiscardNoClientID},
		{"empty client-id", msg(msgQuery, opt(optClientID), q), leasequery.DiscardNoClientID},
		{"client-id over 130 octets", msg(msgQuery, opt(optClientID, long), q), leasequery.DiscardLongClientID},
		{"foreign server-id", query(opt(optServerID, requestorID), q), leasequery.DiscardForeignServerID},
		{"server-id that goes on", query(opt(optServerID, serverID, []byte{0}), q), leasequery.DiscardForeignServerID},
		{"empty server-id", query(opt(optServerID), q), leasequery.DiscardForeignServerID},
		{"no LQ_QUERY", query(), leasequery.DiscardNoQuery},
		{"LEASEQUERY-REPLY", msg(msgReply, me, q), leasequery.DiscardType},
		{"LEASEQUERY-DATA", msg(msgData, me, q), leasequery.DiscardType},
		{"LEASEQUERY-DONE", msg(msgDone, me, q), leasequery.DiscardType},
		{"SOLICIT", msg(1, me, q), leasequery.DiscardType},
		{"RELAY-FORW", msg(msgRelayForw, me, q), leasequery.DiscardType},
		{"a type that does not exist", msg(200, me, q), leasequery.DiscardType},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, over := range []leasequery.Transport{leasequery.TCP, leasequery.UDP} {
				w := house()
				a, err := w.begin(over, nil, bytes.Clone(tc.message))
				var d *leasequery.DiscardError
				if a != nil || !errors.Is(err, leasequery.ErrDiscard) || !errors.As(err, &d) || d.Reason != tc.reason {
					t.Errorf("got %v, %v, want the reason %q", a, err, tc.reason)
				}
				if w.OpenViews() != 0 {
					t.Error("a view was taken for it")
				}
			}
		})
	}
	t.Run("our own server-id is ours", func(t *testing.T) {
		house().expect(t, query(q, opt(optServerID, serverID)), reply(clientAOn1), data(clientAOn2), done())
	})
}

// RFC 5007 4.1.2.1, 4.4.1, RFC 5460 4: what is answered with a status. The text names the thing.
func TestRefused(t *testing.T) {
	both, tcp, udp := []leasequery.Transport{leasequery.TCP, leasequery.UDP}, []leasequery.Transport{leasequery.TCP}, []leasequery.Transport{leasequery.UDP}
	id := func(n int) []byte { return opt(optClientID, make([]byte, n)) }
	for _, tc := range []struct {
		name   string
		over   []leasequery.Transport
		query  []byte
		status int
		text   string
	}{
		{"query type 0", both, query(lq(0, "::", id(4))), unknownQueryType, "query type 0 is unknown"},
		{"query type 6", both, query(lq(6, "::", id(4))), unknownQueryType, "query type 6 is unknown"},
		{"query type 255", both, query(lq(255, "::")), unknownQueryType, "query type 255 is unknown"},
		{"by relay-id over UDP", udp, relayQuery("::", "r"), notAllowed, "QUERY_BY_RELAY_ID needs TCP"},
		{"by link over UDP", udp, linkQuery("2001:db8:1::"), notAllowed, "QUERY_BY_LINK_ADDRESS needs TCP"},
		{"by remote-id over UDP", udp, remoteQuery("::", []byte("12345")), notAllowed, "QUERY_BY_REMOTE_ID needs TCP"},
		{"LQ_QUERY empty", both, query(opt(optQuery)), malformed, "OPTION_LQ_QUERY of 0 octets is broken"},
		{"LQ_QUERY of 16 octets", both, query(opt(optQuery, make([]byte, 16))), malformed, "OPTION_LQ_QUERY of 16 octets is broken"},
		{"options in LQ_QUERY cut short", both, query(lq(byClientID, "::", id(4)[:7])), malformed, "OPTION_LQ_QUERY of 24 octets is broken"},
		{"two LQ_QUERY", both, query(lq(byClientID, "::", id(4)), lq(byClientID, "::", id(4))), malformed, "more than one OPTION_LQ_QUERY"},
		{"no address", both, query(lq(byAddress, "::")), malformed, "QUERY_BY_ADDRESS with 0 OPTION_IAADDR"},
		{"two addresses", both, addressQuery("::", "2001:db8:1::a", iaAddr("2001:db8:1::b", 0, 0)), malformed, "QUERY_BY_ADDRESS with 2 OPTION_IAADDR"},
		{"address of 23 octets", both, query(lq(byAddress, "::", opt(optIAAddr, make([]byte, 23)))), malformed, "OPTION_IAADDR of 23 octets"},
		{"options in the address cut short", both, query(lq(byAddress, "::", opt(optIAAddr, make([]byte, 27)))), malformed, "OPTION_IAADDR is broken"},
		{"no client-id in LQ_QUERY", both, query(lq(byClientID, "::", iaAddr("2001:db8:1::b", 0, 0))), malformed, "QUERY_BY_CLIENTID with 0 OPTION_CLIENTID"},
		{"two client-ids in LQ_QUERY", both, clientQuery("::", "a", id(4)), malformed, "QUERY_BY_CLIENTID with 2 OPTION_CLIENTID"},
		{"empty client-id in LQ_QUERY", both, query(lq(byClientID, "::", id(0))), malformed, "OPTION_CLIENTID of 0 octets"},
		{"client-id of 131 octets in LQ_QUERY", both, query(lq(byClientID, "::", id(131))), malformed, "OPTION_CLIENTID of 131 octets"},
		{"no relay-id", tcp, query(lq(byRelayID, "::")), malformed, "QUERY_BY_RELAY_ID with 0 OPTION_RELAY_ID"},
		{"two relay-ids", tcp, relayQuery("::", "a", opt(optRelayID, []byte("b"))), malformed, "QUERY_BY_RELAY_ID with 2 OPTION_RELAY_ID"},
		{"empty relay-id", tcp, relayQuery("::", ""), malformed, "OPTION_RELAY_ID of 0 octets"},
		{"relay-id of 131 octets", tcp, relayQuery("::", string(make([]byte, 131))), malformed, "OPTION_RELAY_ID of 131 octets"},
		{"no remote-id", tcp, query(lq(byRemoteID, "::")), malformed, "QUERY_BY_REMOTE_ID with 0 OPTION_REMOTE_ID"},
		{"two remote-ids", tcp, remoteQuery("::", []byte("12345"), opt(optRemoteID, []byte("12345"))), malformed, "QUERY_BY_REMOTE_ID with 2 OPTION_REMOTE_ID"},
		{"remote-id of 4 octets", tcp, remoteQuery("::", []byte("1234")), malformed, "OPTION_REMOTE_ID of 4 octets"},
		{"odd ORO in LQ_QUERY", both, clientQuery("::", "a", opt(optORO, []byte{0, 39, 0})), malformed, "OPTION_ORO of 3 octets"},
		{"odd ORO in the message", both, query(opt(optORO, []byte{0}), lq(byClientID, "::", id(4))), malformed, "OPTION_ORO of 1 octets"},
		{"two OROs", both, clientQuery("::", "a", oro(1), oro(2)), malformed, "more than one OPTION_ORO"},
		{"start time of 3 octets", tcp, query(opt(optStartTime, make([]byte, 3)), lq(byClientID, "::", id(4))), malformed, "option 101 of 3 octets"},
		{"end time of 5 octets in LQ_QUERY", tcp, clientQuery("::", "a", opt(optEndTime, make([]byte, 5))), malformed, "option 102 of 5 octets"},
		{"two start times, one at each level", tcp, query(opt(optStartTime, u32(1)), lq(byClientID, "::", id(4), opt(optStartTime, u32(1)))), malformed, "more than one option 101"},
		{"start behind end", tcp, query(opt(optStartTime, u32(8)), opt(optEndTime, u32(7)), lq(byClientID, "::", id(4))), malformed, "the start time is behind the end time"},
		{"start behind end where the numbers wrap", tcp, query(opt(optStartTime, u32(3)), opt(optEndTime, u32(0xfffffff0)), lq(byClientID, "::", id(4))), malformed, "the start time is behind the end time"},
		{"another VPN", both, clientQuery("::", "a", opt(optVSS, []byte{1, 0, 0, 0, 0, 0, 0, 1})), notConfigured, "no address space but the global one"},
		{"another VPN in the message", both, query(opt(optVSS, []byte{0, 'v'}), lq(byClientID, "::", id(4))), notConfigured, "no address space but the global one"},
		{"empty VSS", both, clientQuery("::", "a", opt(optVSS)), malformed, "OPTION_VSS is empty"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, over := range tc.over {
				w := house()
				compare(t, w.ask(t, over, nil, bytes.Clone(tc.query)), [][]byte{failure(tc.status, tc.text)})
			}
		})
	}
}

// Order of options does not matter, unknown ones and unknown enterprises are skipped, lifetimes and options within a query's
// address are ignored (RFC 8415 16, 21.6), repeated options that the query does not need do no harm.
func TestWhatAQueryMayHoldBesides(t *testing.T) {
	me, subject := opt(optClientID, requestorID), opt(optClientID, []byte("client-b"))
	want := [][]byte{reply(clientBOn1), done()}
	for name, q := range map[string][]byte{
		"LQ_QUERY first":                          msg(msgQuery, lq(byClientID, "::", subject), me),
		"unknown options at both levels":          query(opt(65000, []byte("x")), lq(byClientID, "::", opt(65001), subject, opt(65001)), opt(17, u32(12345)), opt(65000)),
		"options of other query types":            query(lq(byClientID, "::", iaAddr("2001:db8::9", 1, 1), subject, iaAddr("2001:db8::9", 1, 1), opt(optRemoteID, []byte("x")))),
		"VSS of the global space":                 query(opt(optVSS, []byte{255}), lq(byClientID, "::", subject, opt(optVSS, []byte{255}))),
		"lifetimes in the address":                query(lq(byAddress, "::", opt(optIAAddr, ip("2001:db8:1::c"), u32(77), u32(3), opt(optStatus, u16(1))))),
		"the same option requested over and over": clientQuery("::", "client-b", oro(optFQDN, optFQDN, 0, 65535, optFQDN)),
	} {
		t.Run(name, func(t *testing.T) { house().expect(t, q, want...) })
	}
	t.Run("over UDP options 100 to 102 are ignored", func(t *testing.T) {
		house().expectUDP(t, query(oro(optBaseTime), opt(optStartTime, []byte{1}), lq(byClientID, "::", subject, oro(optBaseTime), opt(optEndTime, u32(1)))), reply(clientBOn1))
	})
}

// Octets in client-ids mean nothing: any 1 to 130 of them are copied and looked for as they are (RFC 8415 11).
func TestClientIDsAreOctets(t *testing.T) {
	for _, id := range [][]byte{{0}, {0, 0}, {0xff}, bytes.Repeat([]byte{0xa5}, 130)} {
		w := newWorld(nil, lease(1, binding.NA, "2001:db8::1", string(id)))
		compare(t, w.ask(t, leasequery.TCP, nil, msg(msgQuery, opt(optClientID, id), lq(byClientID, "::", opt(optClientID, id)))),
			[][]byte{msg(msgReply, opt(optClientID, id), opt(optServerID, serverID), clientData(string(id), 100, leasedAddr("2001:db8::1"))), done()})
	}
}

// RFC 7653 6.3.1, 9.3: base time when either option request option asks for it, in every message of the answer, refusals too; it is
// the view's closed time, and lifetimes count from it.
func TestBaseTime(t *testing.T) {
	base := opt(optBaseTime, u32(nowBase))
	w := house()
	w.SetTime(now, now+30_000)
	withBase := func(kind int, options ...[]byte) []byte {
		if kind == msgReply {
			return reply(base, cat(options...))
		}
		return msg(kind, base, cat(options...))
	}
	id := opt(optClientID, []byte("client-a"))
	w.expect(t, query(lq(byClientID, "::", id, oro(optBaseTime))), withBase(msgReply, clientAOn1), withBase(msgData, clientAOn2), withBase(msgDone))
	w.expect(t, query(oro(optBaseTime), lq(byClientID, "::", id)), withBase(msgReply, clientAOn1), withBase(msgData, clientAOn2), withBase(msgDone))
	w.expect(t, query(oro(optBaseTime), lq(byClientID, "::", opt(optClientID, []byte("nobody")))), withBase(msgReply))
	w.expect(t, linkQuery("3fff::", oro(optBaseTime)), withBase(msgReply, opt(optStatus, u16(notConfigured), []byte("no link has the link-address 3fff::"))))
	w.expect(t, query(oro(optBaseTime), opt(optQuery)), withBase(msgReply, opt(optStatus, u16(malformed), []byte("OPTION_LQ_QUERY of 0 octets is broken"))))
	t.Run("without it lifetimes count from cluster time", func(t *testing.T) {
		w.expect(t, clientQuery("::", "client-b"), reply(clientData("client-b", 130, iaAddr("2001:db8:1::c", 3470, 7070))), done())
	})
	t.Run("rounded down, also before 2000, modulo 2^32", func(t *testing.T) {
		for clock, want := range map[binding.Time]uint32{946684800_999: 0, 946684801_000: 1, 946684799_999: 0xffffffff, 946684800_000 + 1<<32*1000: 0} {
			w := newWorld(nil)
			w.SetTime(clock, clock)
			w.expect(t, query(oro(optBaseTime), lq(byClientID, "::", id)), reply(opt(optBaseTime, u32(want))))
		}
	})
}

// A node that cannot prove that it is up to date says so and its connection closes (RFC 5460 5.5, 7.4); over UDP it is silent, so
// that the requestor asks another. A query that is refused for itself is refused all the same.
func TestNotUpToDate(t *testing.T) {
	stale := errors.New("no proof of freshness")
	w := house()
	w.SetError(stale)
	ask := func(over leasequery.Transport, q []byte) (*leasequery.Answer, error) { return w.begin(over, nil, q) }
	for _, options := range [][]byte{nil, oro(optBaseTime)} {
		a, err := ask(leasequery.TCP, clientQuery("::", "client-a", options))
		if err != nil || !a.Failed() {
			t.Fatalf("answer %v, %v", a, err)
		}
		got, more, err := a.Next(nil)
		if err != nil || more {
			t.Errorf("more %v, %v", more, err)
		}
		compare(t, [][]byte{got}, [][]byte{failure(terminated, "this server is not up to date; ask another")})
		a.Close()
	}
	for _, options := range [][]byte{nil, oro(optBaseTime)} {
		a, err := ask(leasequery.TCP, query(cat(options), lq(99, "::")))
		if err != nil || a.Failed() {
			t.Fatalf("answer %v, %v", a, err)
		}
		got, _, _ := a.Next(nil)
		compare(t, [][]byte{got}, [][]byte{failure(unknownQueryType, "query type 99 is unknown")})
		a.Close()
	}
	_, err := ask(leasequery.UDP, clientQuery("::", "client-a"))
	var d *leasequery.DiscardError
	if !errors.Is(err, leasequery.ErrDiscard) || !errors.Is(err, stale) || !errors.As(err, &d) || d.Reason != leasequery.DiscardNotFresh {
		t.Errorf("over UDP: %v", err)
	}
}

// A query whose connection goes away while it waits for a view is neither answered nor discarded: the context's cause comes back.
func TestBeginEndsWithItsContext(t *testing.T) {
	gone := errors.New("connection gone")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(gone)
	m, err := dhcpv6.ParseMessage(clientQuery("::", "client-a"))
	if err != nil {
		t.Fatal(err)
	}
	w := house()
	a, err := leasequery.New(leasequery.Config{}, w).Begin(ctx, leasequery.Request{Message: m, Peer: relayAddr})
	if a != nil || !errors.Is(err, gone) || errors.Is(err, leasequery.ErrDiscard) {
		t.Errorf("got %v, %v", a, err)
	}
}

// RFC 5460 5.2.2, 7.2: an answer that ends early ends with a status: in a LEASEQUERY-REPLY if none was sent, else in a
// LEASEQUERY-DONE; with base time if it was asked for.
func TestAbort(t *testing.T) {
	base := opt(optBaseTime, u32(nowBase))
	status := opt(optStatus, u16(terminated), []byte("going down"))
	for _, tc := range []struct {
		name    string
		options []byte
		sent    int
		want    []byte
	}{
		{"before the reply", nil, 0, reply(status)},
		{"behind the reply", nil, 1, msg(msgDone, status)},
		{"behind data", nil, 2, msg(msgDone, status)},
		{"before the reply, with base time", oro(optBaseTime), 0, reply(base, status)},
		{"behind the reply, with base time", oro(optBaseTime), 1, msg(msgDone, base, status)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := house()
			a, err := w.begin(leasequery.TCP, nil, clientQuery("::", "client-a", tc.options))
			if err != nil {
				t.Fatal(err)
			}
			for range tc.sent {
				if _, more, err := a.Next(nil); !more || err != nil {
					t.Fatalf("more %v, %v", more, err)
				}
			}
			if a.Failed() {
				t.Error("failed before it was aborted")
			}
			got, err := a.Abort([]byte("x"), dhcpv6.StatusQueryTerminated, "going down")
			if err != nil || !a.Failed() || !bytes.Equal(got, append([]byte("x"), tc.want...)) {
				t.Errorf("got %x, %v, want %x", got, err, tc.want)
			}
			if _, err := a.Abort(nil, dhcpv6.StatusQueryTerminated, "again"); !errors.Is(err, leasequery.ErrClosed) {
				t.Errorf("a second time: %v", err)
			}
			if _, _, err := a.Next(nil); !errors.Is(err, leasequery.ErrClosed) {
				t.Errorf("Next: %v", err)
			}
			a.Close()
			a.Close()
			if w.OpenViews() != 0 {
				t.Error("the view is still open")
			}
		})
	}
	t.Run("behind the end, or closed", func(t *testing.T) {
		a, err := house().begin(leasequery.TCP, nil, clientQuery("::", "client-a"))
		if err != nil {
			t.Fatal(err)
		}
		a.Close()
		if _, err := a.Abort(nil, dhcpv6.StatusQueryTerminated, "late"); !errors.Is(err, leasequery.ErrClosed) {
			t.Errorf("Abort: %v", err)
		}
		if _, _, err := a.Next(nil); !errors.Is(err, leasequery.ErrClosed) {
			t.Errorf("Next: %v", err)
		}
	})
}

// RFC 7653 9.2, 9.1: the one message that refuses ACTIVELEASEQUERY, and STARTTLS, whose options are ignored.
func TestRefuse(t *testing.T) {
	e := leasequery.New(leasequery.Config{}, house())
	status := opt(optStatus, u16(notSupported), []byte("no"))
	for _, tc := range []struct {
		name          string
		message, want []byte
		reason        string
	}{
		{"active", msg(msgActive, opt(optClientID, requestorID)), reply(status), ""},
		{"active without client-id", msg(msgActive), nil, leasequery.DiscardNoClientID},
		{"active with a client-id that is none", msg(msgActive, opt(optClientID, make([]byte, 200))), nil, leasequery.DiscardLongClientID},
		{"active for another server", msg(msgActive, opt(optClientID, requestorID), opt(optServerID, []byte{1})), nil, leasequery.DiscardForeignServerID},
		{"STARTTLS", msg(msgStartTLS), msg(7, opt(optServerID, serverID), status), ""},
		{"STARTTLS with options", msg(msgStartTLS, opt(optServerID, []byte{1}), opt(optClientID, requestorID)), msg(7, opt(optClientID, requestorID), opt(optServerID, serverID), status), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := dhcpv6.ParseMessage(tc.message)
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.Refuse(nil, m, dhcpv6.StatusNotSupported, "no")
			var d *leasequery.DiscardError
			if tc.reason != "" && (!errors.As(err, &d) || d.Reason != tc.reason) || tc.reason == "" && err != nil || !bytes.Equal(got, tc.want) {
				t.Errorf("got %x, %v, want %x, %q", got, err, tc.want, tc.reason)
			}
		})
	}
}
