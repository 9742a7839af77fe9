package requestor

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// bulk answers a bulk query with clients, all at one base time.
func (p *peer) bulk(at uint32, clients ...dhcpv6.Options) bool {
	if !p.queried() {
		return false
	}
	if len(clients) == 0 {
		return p.reply(base(at))
	}
	for n, c := range clients {
		if kind := dhcpv6.MessageLeasequeryData; n > 0 && !p.send(kind, c, base(at)) || n == 0 && !p.reply(c, base(at)) {
			return false
		}
	}
	return p.done(base(at))
}

// since is byRelay from a base time on.
func since(at uint32) ActiveQuery {
	q := byRelay
	q.StartTime = &at
	return q
}

// After DataMissing a bulk query on a second connection brings what is there, beside the changes; what changed meanwhile stands against it;
// what nobody spoke of is told as ended. The base time to resume from stays where it was until that is done.
func TestDataMissingIsRecovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recovered, live := make(chan bool), make(chan bool)
		s := newStage(t, map[string][]script{"a": {
			func(p *peer) { // what the table has before
				_ = p.subscribed(90) && p.reply(base(100)) && p.data(base(91), holds('a', 1, 900, 0)) && p.data(base(92), holds('b', 2, 900, 0)) &&
					p.data(base(92), holds('c', 3, 900, 0)) && p.data(base(93), holds('d', 4, 900, 0)) && p.data(base(93), holds('e', 5, 900, 0)) &&
					p.data(base(100), says(dhcpv6.StatusCatchUpComplete))
			},
			func(p *peer) {
				_ = p.subscribed(100) && p.reply(base(200), says(dhcpv6.StatusDataMissing)) && p.data(base(201), holds('b', 2, 0, 109)) &&
					p.data(base(201), holds('f', 6, 900, 0))
				close(live)
				<-recovered
				pause(time.Second)
				_ = p.data(base(205), holds('g', 7, 900, 0))
				p.gone()
			},
			func(p *peer) { // an answer of a second that may be before the gap's end
				<-live
				p.bulk(200, holds('x', 9, 900, 0))
			},
			func(p *peer) { // breaks off
				if p.queried() {
					p.reply(still('a', 1, 140, 203), base(203))
				}
			},
			func(p *peer) {
				_ = p.bulk(203,
					still('a', 1, 140, 203), // known by now
					still('b', 2, 92, 203),  // has ended since
					still('d', 3, 199, 203), // somebody else's before
					holds('e', 5, 0, 1),     // nothing
					still('f', 6, 195, 203), // older news of a renewed one
				)
				close(recovered)
			},
		}})
		q, found := since(90), ""
		q.Found = func(by int, c *Client) error {
			found += fmt.Sprintf(" %c%d/%d", c.DUID[2], by, len(c.Addresses))
			return nil
		}
		told, failures := watched(t, 19, []string{"a"}, s.config(), q)
		want := []string{
			"subscribed @100 resume 90", "a 1 @91 resume 90", "b 2 @92 resume 90", "c 3 @92 resume 90", "d 4 @93 resume 90", "e 5 @93 resume 90",
			"catch-up-complete @100 resume 100", "terminated @100 resume 100",
			"subscribed @200 resume 100", "data-missing @200 resume 100", "b 2 ended @201 resume 100", "f 6 @201 resume 100",
			"a 1 @203 recovered resume 100", "c 3 ended @203 recovered resume 100", "d 3 @203 recovered resume 100",
			"d 4 ended @203 recovered resume 100", "e 5 ended @203 recovered resume 100",
			"catch-up-complete @201 recovered resume 201", "g 7 @205 resume 205",
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("events (-want +got):\n%s\nfailed: %v", diff, failures)
		}
		if want := " a0/1 a0/1 b0/1 d0/1 e0/1 f0/1"; found != want { // also what was no news
			t.Errorf("found%s, want%s", found, want)
		}
	})
}

// A recovery whose subscription ends is taken up by the next one, once that has caught up; the catch-up alone completes nothing. One in
// whose course more is missing begins again.
func TestRecoveryGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answered := make(chan bool)
		s := newStage(t, map[string][]script{
			"a": {
				func(p *peer) {
					if p.subscribed(0) && p.reply(base(100)) && p.data(base(101), holds('a', 1, 90, 0)) && p.data(base(110), says(dhcpv6.StatusDataMissing)) {
						pause(time.Minute)
					}
				},
				func(p *peer) {
					if p.queried() {
						p.reply(base(111), holds('b', 2, 900, 0))
						pause(time.Hour)
					}
				},
			},
			"b": {
				func(p *peer) {
					_ = p.subscribed(110) && p.reply(base(170)) && p.data(base(170), holds('c', 3, 900, 0)) &&
						p.data(base(170), says(dhcpv6.StatusCatchUpComplete))
					pause(5 * time.Second)
					_ = p.data(base(175), says(dhcpv6.StatusDataMissing))
					<-answered
					pause(time.Second)
					_ = p.data(base(180))
					p.gone()
				},
				func(p *peer) {
					if p.queried() { // more is missing before it goes on
						p.reply(base(172), still('b', 2, 111, 172))
						pause(10 * time.Second)
						p.data(base(172), holds('z', 9, 80, 10))
						p.gone()
					}
				},
				func(p *peer) {
					p.bulk(181, still('c', 3, 170, 181))
					close(answered)
				},
			},
		})
		told, failures := watched(t, 12, []string{"a", "b"}, s.config(), byRelay)
		want := []string{
			"subscribed @100 resume 100", "a 1 @101 resume 101", "data-missing @110 resume 101", "b 2 @111 recovered resume 101",
			"terminated @101 resume 101",
			"subscribed @170 resume 101", "c 3 @170 resume 101", "data-missing @175 resume 101",
			"a 1 ended @181 recovered resume 101", "b 2 ended @181 recovered resume 101", "catch-up-complete @175 recovered resume 175",
			"idle @180 resume 180",
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("events (-want +got):\n%s\nfailed: %v", diff, failures)
		}
	})
}

// A recovery whose last answer was under way when more went missing completes nothing: that answer may be older than the loss.
func TestRecoveryDoesNotCoverALaterLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last, missing, again := make(chan bool), make(chan bool), make(chan bool)
		s := newStage(t, map[string][]script{"a": {
			func(p *peer) {
				if !p.subscribed(0) || !p.reply(base(100)) || !p.data(base(110), says(dhcpv6.StatusDataMissing)) {
					return
				}
				<-last
				pause(time.Second)
				_ = p.data(base(120), says(dhcpv6.StatusDataMissing))
				close(missing)
				<-again
				pause(time.Second)
				_ = p.data(base(130))
				p.gone()
			},
			func(p *peer) {
				if p.queried() && p.reply(base(111), holds('a', 1, 900, 0)) {
					close(last)
					<-missing
					pause(time.Second)
					_ = p.done(base(111))
				}
			},
			func(p *peer) {
				_ = p.bulk(121, still('b', 2, 115, 121))
				close(again)
			},
		}})
		told, failures := watched(t, 8, []string{"a"}, s.config(), byRelay)
		want := []string{
			"subscribed @100 resume 100", "data-missing @110 resume 100", "a 1 @111 recovered resume 100", "data-missing @120 resume 100",
			"b 2 @121 recovered resume 100", "a 1 ended @121 recovered resume 100", "catch-up-complete @120 recovered resume 120", "idle @130 resume 130",
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("events (-want +got):\n%s\nfailed: %v", diff, failures)
		}
	})
}

// Full: everything that there is comes by a bulk query that begins behind the subscription. That a server knows no such address is an answer.
func TestFullSubscription(t *testing.T) {
	for name, tc := range map[string]struct {
		bulk script
		want []string
	}{
		"some": {
			func(p *peer) { p.bulk(101, holds('a', 1, 90, 0), holds('b', 2, 900, 0)) },
			[]string{"subscribed @100", "a 1 @101 recovered", "b 2 @101 recovered", "catch-up-complete @100 recovered resume 100"},
		},
		"none": {
			func(p *peer) { p.bulk(101) },
			[]string{"subscribed @100", "catch-up-complete @100 recovered resume 100"},
		},
		"not configured": {
			func(p *peer) { _ = p.queried() && p.reply(base(101), says(dhcpv6.StatusNotConfigured)) },
			[]string{"subscribed @100", "catch-up-complete @100 recovered resume 100"},
		},
		"of a server without base times": {
			func(p *peer) { _ = p.queried() && p.reply(holds('a', 1, 90, 0)) && p.done() },
			[]string{"subscribed @100", "a 1 recovered", "catch-up-complete @100 recovered resume 100"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, map[string][]script{"a": {func(p *peer) { _ = p.subscribed(0) && p.reply(base(100)); p.gone() }, tc.bulk}})
				q := byRelay
				q.Full = true
				told, failures := watched(t, len(tc.want), []string{"a"}, s.config(), q)
				if diff := cmp.Diff(tc.want, told); diff != "" {
					t.Errorf("events (-want +got):\n%s\nfailed: %v", diff, failures)
				}
			})
		})
	}
}

// A subscription to everything asks the queries that it was given, then for what it knows and nobody spoke of: everybody on its link first,
// then the binding itself. Nothing is told as ended that was not looked up.
func TestEverythingIsRecovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		answer := func(p *peer, what string, clients ...dhcpv6.Options) {
			if !p.bulk(202, clients...) {
				return
			}
			q := p.lq()
			for code, value := range q.Options.All() {
				if code == dhcpv6.OptionIAAddr {
					a, err := dhcpv6.ParseIAAddress(value)
					if err != nil {
						t.Error(err)
					}
					what += " " + a.Address.String()
				}
			}
			asked = append(asked, q.Type.String()+" "+q.LinkAddress.String()+" "+what)
		}
		s := newStage(t, map[string][]script{"a": {
			func(p *peer) {
				_ = p.subscribed(90) && p.reply(base(100)) && p.data(base(91), holds('a', 1, 900, 0)) && p.data(base(92), holds('b', 2, 900, 0)) &&
					p.data(base(92), holds('c', 3, 900, 0)) && p.data(base(95), says(dhcpv6.StatusCatchUpComplete)) &&
					p.data(base(200), says(dhcpv6.StatusDataMissing))
				p.gone()
			},
			func(p *peer) {
				answer(p, "given", still('a', 1, 91, 202))
				// 2 is on another link than its address says, or gone.
				answer(p, "near", still('c', 3, 92, 202), holds('n', 4, 900, 0))
				answer(p, "itself", still('b', 2, 92, 202))
				p.gone()
			},
		}})
		at := uint32(90)
		q := ActiveQuery{Query: Query{StartTime: &at}, Recover: []Query{{Type: dhcpv6.QueryByLinkAddress, LinkAddress: netip.MustParseAddr("2001:db8:9::")}}}
		told, failures := watched(t, 8, []string{"a"}, s.config(), q)
		want := []string{
			"subscribed @100 resume 90", "a 1 @91 resume 90", "b 2 @92 resume 90", "c 3 @92 resume 90", "catch-up-complete @95 resume 95",
			"data-missing @200 resume 95", "n 4 @202 recovered resume 95", "catch-up-complete @200 recovered resume 200",
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("events (-want +got):\n%s\nfailed: %v", diff, failures)
		}
		s.wg.Wait()
		if diff := cmp.Diff([]string{
			"QUERY_BY_LINK_ADDRESS 2001:db8:9:: given", "QUERY_BY_LINK_ADDRESS 2001:db8::2 near", "QUERY_BY_ADDRESS :: itself 2001:db8::2",
		}, asked); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	})
}
