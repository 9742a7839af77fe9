package requestor

import (
	"context"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

var byRelay = ActiveQuery{Query: Query{Type: dhcpv6.QueryByRelayID, RelayID: []byte{7}}}

func TestSubscriptionMessages(t *testing.T) {
	start := uint32(5)
	const head = "16010203" + "0001000a" + "00030001010203040506" // header, then the requestor's client-id
	for _, tc := range []struct {
		name  string
		query ActiveQuery
		start *uint32
		want  string // after head
	}{
		{"everything", ActiveQuery{}, nil, "00060002" + "0064"},
		{"everything, with more, from a time on", ActiveQuery{Query: Query{RelayData: true, Options: []dhcpv6.OptionCode{39}}}, &start,
			"00060006" + "0027" + "002f" + "0064" + "00650004" + "00000005"},
		{"by relay-id on a link", ActiveQuery{Query: Query{Type: dhcpv6.QueryByRelayID, RelayID: []byte{7},
			LinkAddress: netip.MustParseAddr("2001:db8::")}}, &start,
			"002c001c" + "03" + "20010db8000000000000000000000000" + "00350001" + "07" + "00060002" + "0064" + "00650004" + "00000005"},
	} {
		m, err := tc.query.message(dhcpv6.TransactionID{1, 2, 3}, ownID, tc.start)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		b, err := m.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(head+tc.want, hex.EncodeToString(b)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestSubscriptionsThatCannotBeAsked(t *testing.T) {
	at := uint32(1)
	for name, q := range map[string]ActiveQuery{
		"an end time":                   {Query: Query{EndTime: &at}},
		"everything on a link":          {Query: Query{LinkAddress: netip.MustParseAddr("2001:db8::")}},
		"a relay-id of nothing":         {Query: Query{Type: dhcpv6.QueryByAddress}},
		"full from a time on":           {Query: Query{Type: dhcpv6.QueryByRelayID, RelayID: []byte{7}, StartTime: &at}, Full: true},
		"everything in full":            {Full: true},
		"a filter and another recovery": {Query: byRelay.Query, Recover: []Query{byRelay.Query}},
		"a recovery from a time on":     {Recover: []Query{{Type: dhcpv6.QueryByRelayID, RelayID: []byte{7}, StartTime: &at}}},
		"a recovery of no type":         {Recover: []Query{{}}},
	} {
		if err := Watch(t.Context(), []string{"a"}, newStage(t, nil).config(), q, nil); !errors.Is(err, ErrQuery) {
			t.Errorf("%s: %v, want ErrQuery", name, err)
		}
	}
	if err := Watch(t.Context(), nil, newStage(t, nil).config(), byRelay, nil); !errors.Is(err, ErrQuery) {
		t.Errorf("no servers: %v, want ErrQuery", err)
	}
	if err := Watch(t.Context(), []string{"a"}, Config{}, ActiveQuery{}, nil); !errors.Is(err, ErrQuery) {
		t.Errorf("no client-id: %v, want ErrQuery", err)
	}
}

// Over real sockets: what comes is told in order, and each way to lose a server leads to the next, from the newest base time that counts:
// not one of LEASEQUERY-DONE, and none of a catch-up phase (RFC 7653 8.4.1).
func TestWatchGoesOnElsewhere(t *testing.T) {
	s := newStage(t, map[string][]script{
		"a": {func(p *peer) {
			if p.subscribed(0) && p.reply(base(100), holds('a', 1, 50, 0)) && p.data(base(101), holds('b', 2, 50, 0)) && p.data(base(104)) {
				p.done(says(dhcpv6.StatusQueryTerminated), base(130))
			}
		}},
		"b": {
			func(p *peer) { // breaks off in the catch-up phase
				_ = p.subscribed(104) && p.reply(base(131), holds('b', 2, 50, 1)) && p.data(base(120), holds('c', 3, 50, 0)) && p.data(base(125))
			},
			func(p *peer) {
				_ = p.subscribed(104) && p.reply(base(132)) && p.data(base(132), holds('c', 3, 50, 7)) &&
					p.data(base(133), says(dhcpv6.StatusCatchUpComplete)) && p.data(base(134), holds('c', 3, 0, 7))
			},
		},
		// b's first failure leads to c, which has nothing to say yet; so c is asked twice.
		"c": {func(p *peer) { _ = p.subscribed(104) && p.reply(says(dhcpv6.StatusQueryTerminated)) }, func(p *peer) {
			if p.subscribed(134) && p.reply(base(134)) && p.data(base(135), says(dhcpv6.StatusCatchUpComplete)) {
				p.gone()
			}
		}},
	})
	servers := []string{s.listen("a"), s.listen("b"), s.listen("c")}
	told, failures := watched(t, 15, servers, Config{ClientID: ownID, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond}, byRelay)
	want := []string{
		"subscribed @100", "a 1 @100 resume 100", "b 2 @101 resume 101", "idle @104 resume 104", "terminated @104 resume 104",
		"subscribed @131 resume 104", "b 2 @131 resume 104", "c 3 @120 resume 104", "idle @125 resume 104", "terminated @104 resume 104",
		"subscribed @132 resume 104", "c 3 @132 resume 104", "catch-up-complete @133 resume 133", "c 3 ended @134 resume 134", "terminated @134 resume 134",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("events (-want +got):\n%s\nfailed: %v", diff, failures)
	}
}

func TestSubscriptionAnswersThatAreWrong(t *testing.T) {
	data := holds('a', 1, 50, 0)
	ok := func(p *peer) bool { return p.reply(base(100)) }
	for name, play := range map[string]script{
		"data before the reply": func(p *peer) { p.data(base(1), data) },
		"done before the reply": func(p *peer) { p.done() },
		"a second reply":        func(p *peer) { _ = ok(p) && p.reply(base(100)) },
		"another message type":  func(p *peer) { _ = ok(p) && p.send(dhcpv6.MessageReply, base(100)) },
		"no server-id":          func(p *peer) { p.send(dhcpv6.MessageLeasequeryReply, must(dhcpv6.ClientID(ownID)), base(1)) },
		"no client-id":          func(p *peer) { p.send(dhcpv6.MessageLeasequeryReply, must(dhcpv6.ServerID(serverID)), base(1)) },
		"another requestor's client-id": func(p *peer) {
			p.send(dhcpv6.MessageLeasequeryReply, must(dhcpv6.ClientID(serverID), dhcpv6.ServerID(serverID)), base(1))
		},
		"a reply without base time":   func(p *peer) { p.reply(data) },
		"data without base time":      func(p *peer) { _ = ok(p) && p.data(data) },
		"idle without base time":      func(p *peer) { _ = ok(p) && p.data() },
		"base time of the wrong size": func(p *peer) { _ = ok(p) && p.data(dhcpv6.Options{0, 100, 0, 1, 0}) },
		"base time alone, wrong size": func(p *peer) { p.reply(dhcpv6.Options{0, 100, 0, 1, 0}) },
		"options cut short":           func(p *peer) { _ = ok(p) && p.data(dhcpv6.Options{0, 1, 0}) },
		"client data cut short":       func(p *peer) { _ = ok(p) && p.data(base(100), must(dhcpv6.ClientData{Options: client(0)[:9]})) },
		"client data without client-id": func(p *peer) {
			_ = ok(p) && p.data(base(100), must(dhcpv6.ClientData{Options: must(dhcpv6.CLTTime(1))}))
		},
		"a client-id of 131 octets": func(p *peer) {
			_ = ok(p) && p.data(base(100), must(dhcpv6.ClientData{Options: must(dhcpv6.ClientID(make([]byte, 131)), dhcpv6.CLTTime(1))}))
		},
		"status cut short":                  func(p *peer) { _ = ok(p) && p.data(base(100), dhcpv6.Options{0, 13, 0, 1, 0}) },
		"an error status in data":           func(p *peer) { _ = ok(p) && p.data(base(100), says(dhcpv6.StatusQueryTerminated)) },
		"catch-up without a start time":     func(p *peer) { _ = ok(p) && p.data(base(100), says(dhcpv6.StatusCatchUpComplete)) },
		"a frame of under 4 octets":         func(p *peer) { _ = ok(p) && p.octets([]byte{0, 3, 15, 0, 0}) },
		"another query's transaction-id":    func(p *peer) { p.asked.TransactionID[0]++; ok(p) },
		"another transaction-id in the end": func(p *peer) { ok(p); p.asked.TransactionID[2]++; p.done() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, map[string][]script{"a": {func(p *peer) {
				if p.subscribed(0) {
					play(p)
					p.gone()
				}
			}}})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var failure error
			config := Config{ClientID: ownID, Report: func(a Attempt) { failure = a.Err; cancel() }}
			if err := Watch(ctx, []string{s.listen("a")}, config, byRelay, func(*Event) error { return nil }); !errors.Is(err, context.Canceled) {
				t.Errorf("Watch: %v", err)
			}
			if !errors.Is(failure, ErrProtocol) {
				t.Errorf("got %v, want ErrProtocol", failure)
			}
		})
	}
}

// RFC 7653 6.4, ACTIVE_LQ_RCV_TIMEOUT: a server that sends no whole message for 120 s is given up; octets do not count.
func TestSilentSubscription(t *testing.T) {
	for name, tc := range map[string]struct {
		play script
		want time.Duration // when the next server is asked
	}{
		"nothing":          {func(p *peer) { p.gone() }, 120 * time.Second},
		"nothing after it": {func(p *peer) { pause(119 * time.Second); _ = p.reply(base(100)); p.gone() }, 239 * time.Second},
		"idle messages": {func(p *peer) {
			for n := range uint32(5) {
				_ = n == 0 && p.reply(base(100)) || n > 0 && p.data(base(100+60*n))
				pause(60 * time.Second)
			}
			p.gone()
		}, (4*60 + 120) * time.Second},
		"octet by octet": {func(p *peer) {
			_ = p.reply(base(100)) && p.octets([]byte{0xff, 0xff})
			for range 20 {
				pause(10 * time.Second)
				p.octets([]byte{0})
			}
		}, 120 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := make(chan time.Duration, 1)
				start := time.Now()
				s := newStage(t, map[string][]script{
					"a": {func(p *peer) { _ = p.read(); tc.play(p) }},
					"b": {func(p *peer) { asked <- time.Since(start); p.gone() }},
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					if got := <-asked; got != tc.want {
						t.Errorf("next server after %v, want %v", got, tc.want)
					}
					cancel()
				}()
				var failure error
				config := s.config()
				config.Report = func(a Attempt) { failure = a.Err }
				if err := Watch(ctx, []string{"a", "b"}, config, byRelay, func(*Event) error { return nil }); !errors.Is(err, context.Canceled) {
					t.Errorf("Watch: %v", err)
				}
				if !errors.Is(failure, ErrStalled) || !strings.Contains(failure.Error(), "ACTIVE_LQ_RCV_TIMEOUT") {
					t.Errorf("got %v, want ErrStalled", failure)
				}
			})
		})
	}
}

// Servers are asked at once one after another; between rounds is a pause that doubles. After a subscription that was a steady one the
// others are asked at once, and then it again behind the first pause.
func TestWatchPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := func(d time.Duration) script {
			return func(p *peer) { _ = p.read() && p.reply(base(100)); pause(d) }
		}
		s := newStage(t, map[string][]script{"a": {nil, nil, nil, good(time.Minute), nil, good(time.Second)}, "b": {nil, nil, nil, nil, nil, nil}})
		ctx, cancel := context.WithTimeout(t.Context(), 75*time.Second)
		defer cancel()
		if err := Watch(ctx, []string{"a", "b"}, s.config(), byRelay, func(*Event) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Watch: %v", err)
		}
		// a, b; 1 s; a, b; 2 s; a, b; 4 s; a answers, for a minute; b; 1 s; b, a; 2 s; b, a answers for a second; 4 s …
		if diff := cmp.Diff(strings.Fields("a b a b a b a b b a b a"), s.dials[:12]); diff != "" {
			t.Errorf("servers asked (-want +got):\n%s", diff)
		}
		for n, want := range []float64{0, 0, 1, 1, 3, 3, 7, 67, 68, 68, 70, 70} {
			if got := s.at[n].Seconds(); got < want-2 || got > want+2 {
				t.Errorf("connection %d after %v s, want about %v", n, got, want)
			}
		}
	})
}

// Every server refuses: that is the end. One that refused is asked again when another has accepted in between.
func TestWatchRefused(t *testing.T) {
	refuse := func(s dhcpv6.Status) script {
		return func(p *peer) { _ = p.read() && p.reply(says(s), base(7)) }
	}
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, map[string][]script{
			"a": {refuse(dhcpv6.StatusNotSupported), refuse(dhcpv6.StatusNotAllowed)},
			"b": {refuse(dhcpv6.StatusQueryTerminated), func(p *peer) { _ = p.read() && p.reply(base(100)) }, refuse(dhcpv6.StatusNotAllowed)},
		})
		err := Watch(t.Context(), []string{"a", "b"}, s.config(), byRelay, func(*Event) error { return nil })
		all, ok := errors.AsType[*AttemptsError](err)
		if !ok || !all.Refused() || len(all.Attempts) != 2 {
			t.Errorf("Watch: %v, want that both refuse", err)
		}
		if diff := cmp.Diff(strings.Fields("a b b a b"), s.dials); diff != "" {
			t.Errorf("servers asked (-want +got):\n%s", diff)
		}
	})
}

func TestHandlerEndsWatch(t *testing.T) {
	s := newStage(t, map[string][]script{"a": {func(p *peer) { _ = p.read() && p.reply(base(100)); p.gone() }}})
	full := errors.New("disk full")
	if err := Watch(t.Context(), []string{"a"}, s.config(), byRelay, func(*Event) error { return full }); !errors.Is(err, full) {
		t.Errorf("got %v, want the handler's error", err)
	}
}

func TestTableIsBounded(t *testing.T) {
	s := newStage(t, map[string][]script{"a": {func(p *peer) {
		for n := 0; n < 4 && (n > 0 || p.read() && p.reply(base(100))) && p.data(base(100), holds('a', n, 50, 0)); n++ {
		}
		p.gone()
	}}})
	q := byRelay
	q.Table = NewReplica(3)
	if err := Watch(t.Context(), []string{"a"}, s.config(), q, func(*Event) error { return nil }); !errors.Is(err, ErrTableFull) {
		t.Errorf("got %v, want ErrTableFull", err)
	}
	if got := len(q.Table.Holdings()); got != 3 {
		t.Errorf("%d bindings in the table, want 3", got)
	}
}
