package upstream

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// subscription is a script that accepts an ACTIVELEASEQUERY from a start time (0: none) and goes on with what follows.
func subscription(start, at uint32, then ...script) script {
	return func(p *peer) {
		if start > 0 {
			start += noon
		}
		if !p.want(dhcpv6.MessageActiveLeasequery) {
			return
		}
		if got := p.starts(); got != start {
			p.t.Errorf("start time %d, want %d", got, start)
		}
		if !p.reply(base(at)) {
			return
		}
		for _, x := range then {
			x(p)
		}
	}
}

// wait waits for a signal of the test.
func wait(c <-chan struct{}) script { return func(*peer) { <-c } }

// tells sends a LEASEQUERY-DATA.
func tells(at uint32, options ...dhcpv6.Options) script {
	return func(p *peer) { p.data(append([]dhcpv6.Options{base(at)}, options...)...) }
}

func stay(p *peer) { p.gone() }

var oneActive = Config{RelayIDs: [][]byte{[]byte("x")}, Active: true}

// A subscription states what is there already, sweeps, and tells of changes and ends as they come; it is resumed where it broke off; where
// data is missing, everything is asked for, and what is gone is told as ended.
func TestSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d, e := with(of("c", 0), na, 5000, 9000), with(of("d", 0), nb, 5000, 9000), with(of("e", 0), far, 5000, 9000)
		gone := with(of("c", 200), na, 0, 0)
		swept, ended := make(chan struct{}), make(chan struct{})
		stage := newStage(t, map[string][]script{"a": {
			subscription(0, 100, wait(swept), tells(200, holds(&e)), tells(200, holds(&gone))), // and breaks off
			answer(101, c, d),
			subscription(200, 300, tells(250, holds(&e)), tells(300, status(dhcpv6.StatusCatchUpComplete)), wait(ended),
				tells(400, status(dhcpv6.StatusDataMissing)), stay),
			answer(401, with(of("d", 301), nb, 4699, 8699)),
		}})
		s, m := stage.source(oneActive, "a"), newModel(t)
		m.held[placeOf(pd, true)] = held{duid: "somebody of before"}
		ctx := run(t, s, m)
		m.until(ctx, "everything was told", func() bool { return m.has(na, nb) && m.ends() == 1 })
		close(swept)
		m.until(ctx, "the change and the end were told", func() bool { return m.has(nb, far) })
		synctest.Wait()
		if got := s.Condition().Trouble; !strings.Contains(got, "closed") {
			t.Errorf("trouble %q though the subscription has ended", got)
		}
		for stage.left() > 1 || s.Condition().Trouble != "" { // until it is resumed
			<-time.After(time.Second)
		}
		close(ended)
		m.until(ctx, "what was missing is told", func() bool { return m.has(nb) })
		synctest.Wait()
		if n := m.ends(); n != 1 || stage.left() > 0 {
			t.Errorf("%d statements, %d scripts left: %q", n, stage.left(), m.lines)
		}
	})
}

// Where the server does not let it subscribe, everything is asked for; subscriptions are tried again each time.
func TestSubscriptionRefused(t *testing.T) {
	c := with(of("c", 0), na, 5000, 9000)
	closes := func(*peer) {}
	for name, tc := range map[string]struct {
		first   []script
		trouble string
	}{
		"with a status": {[]script{refuse(dhcpv6.StatusNotSupported), answer(100, c)}, "NotSupported"},
		"by a close":    {[]script{closes, closes, answer(100, c)}, "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stage := newStage(t, map[string][]script{"a": tc.first})
				s, m := stage.source(oneActive, "a"), newModel(t)
				ctx := run(t, s, m)
				m.until(ctx, "everything was told", func() bool { return m.has(na) && m.ends() == 1 })
				if got := s.Condition().Trouble; !strings.Contains(got, "everything is asked for instead") || !strings.Contains(got, tc.trouble) {
					t.Errorf("trouble %q", got)
				}
				stage.add("a", subscription(0, 200, stay), answer(201))
				m.until(ctx, "a subscription is there", func() bool { return m.has() && m.ends() == 2 })
				synctest.Wait()
				if got := s.Condition().Trouble; got != "" {
					t.Errorf("trouble %q", got)
				}
			})
		})
	}
}

// Of several subscriptions each begins when the one before has told everything; the statement ends with the last. A refused one is trouble,
// leaves the others be, and nothing is removed.
func TestSubscriptionsToSeveralQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := with(of("c", 0), na, 5000, 9000), with(of("d", 0), nb, 5000, 9000)
		gone := with(of("c", 0), na, 0, 0)
		move := make(chan struct{})
		stage := newStage(t, map[string][]script{"a": {
			subscription(0, 100, wait(move), tells(200, holds(&gone)), stay), answer(101, c),
			subscription(0, 100, wait(move), tells(200, holds(&c)), stay), answer(101, d),
		}})
		config := oneActive
		config.RelayIDs = [][]byte{[]byte("x"), []byte("y")}
		config.Requestor.Silence = 24 * time.Hour // scripts send no idle messages
		s, m := stage.source(config, "a"), newModel(t)
		ctx := run(t, s, m)
		m.until(ctx, "everything was told", func() bool { return m.ends() == 1 })
		if !m.has(na, nb) {
			t.Errorf("stated: %q", m.lines)
		}
		close(move)
		synctest.Wait()
		<-time.After(linger)
		synctest.Wait()
		if !m.has(na, nb) {
			t.Errorf("the client that has moved is gone: %q", m.lines)
		}
		// On schedule all begins anew; by then the second query is refused.
		m.held[placeOf(pd, true)] = held{duid: "somebody else"}
		stage.add("a", subscription(0, 9000, stay), answer(9001, c), refuse(dhcpv6.StatusNotConfigured))
		for stage.left() > 0 {
			<-time.After(time.Minute)
		}
		synctest.Wait()
		if got := s.Condition().Trouble; !strings.Contains(got, "relay-id 79") || !strings.Contains(got, "NotConfigured") {
			t.Errorf("trouble %q", got)
		}
		if len(m.held) != 3 || m.ends() != 1 {
			t.Errorf("something was removed: %q", m.lines)
		}
		// It is tried again while the first goes on; when it is taken, the statement is whole.
		stage.add("a", subscription(0, 9500, stay), answer(9501, d))
		m.until(ctx, "everything was told again", func() bool { return m.ends() == 2 })
		synctest.Wait()
		if got := s.Condition().Trouble; got != "" || !m.has(na, nb) || stage.left() > 0 {
			t.Errorf("trouble %q; stated: %q", got, m.lines)
		}
	})
}

// One subscription to everything, whose recovery is the queries; a link that is not known is no answer.
func TestSubscriptionToEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := with(of("c", 0), na, 5000, 9000), with(of("d", 0), far, 5000, 9000)
		d.Prefixes, d.Addresses = append(d.Prefixes, requestor.Prefix{Prefix: pd, Preferred: 50, Valid: 90}), nil // its link is known by the query only
		later := with(of("d", 0), far, 5000, 9000, pd, 50, 90)
		known := make(chan struct{})
		stage := newStage(t, map[string][]script{"a": {
			subscription(0, 100, wait(known), tells(200, holds(&later)), stay),
			answer(101, c), refuse(dhcpv6.StatusNotConfigured),
		}})
		config := Config{Links: twoLinks.Links, Active: true, Everything: true}
		s, m := stage.source(config, "a"), newModel(t)
		ctx := run(t, s, m)
		for m.until(ctx, "the first answer was told", func() bool { return m.has(na) }); stage.left() > 0; {
			<-time.After(time.Millisecond)
		}
		synctest.Wait()
		if got := s.Condition().Trouble; !strings.Contains(got, "NotConfigured") || m.ends() > 0 {
			t.Errorf("trouble %q; stated %q", got, m.lines)
		}
		stage.add("a", answer(102, c), answer(102, d))
		m.until(ctx, "everything was told", func() bool { return m.ends() == 1 })
		close(known)
		m.until(ctx, "the change was told", func() bool { return len(m.held) == 3 })
		synctest.Wait()
		if got := s.Condition(); got.Trouble != "" || !got.Measured {
			t.Errorf("%+v", got)
		}
		want := map[string]string{na.String(): "one", far.String(): "all", pd.Addr().String(): "all"}
		got := map[string]string{}
		for p, h := range m.held {
			got[p.prefix().Addr().String()] = h.link
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("links (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]int{"one": 1, "all": 1}, m.links); diff != "" {
			t.Errorf("links defined (-want +got):\n%s", diff)
		}
	})
}

// A change may be told before the answer that says on which link its client is, as RFC 7653's messages do not: the answer still puts it
// there, whether it is older or tells the same, and changes nothing else of it.
func TestChangeBeforeItsLinkIsKnown(t *testing.T) {
	for name, answered := range map[string]requestor.Client{
		"the answer is older":  with(of("d", 500), pd, 1, 1),
		"the answer is as new": with(of("d", 5), pd, 45, 85),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				known := make(chan struct{})
				stage := newStage(t, map[string][]script{"a": {
					subscription(0, 100, tells(101, holds(new(with(of("d", 0), pd, 50, 90)))), stay),
					func(p *peer) { <-known; answer(106)(p) },
					answer(106, answered),
				}})
				s, m := stage.source(Config{Links: twoLinks.Links, Active: true, Everything: true}, "a"), newModel(t)
				ctx := run(t, s, m)
				m.until(ctx, "the change was told", func() bool { return len(m.held) == 1 })
				close(known)
				m.until(ctx, "everything was told", func() bool { return m.ends() == 1 })
				got := m.held[placeOf(pd, true)]
				if want := (held{duid: "d", valid: 90, preferred: 50, last: got.last, stamp: epoch2000 + noon + 101, link: "all", statement: 1}); got != want {
					t.Errorf("held %+v, want %+v; stated %q", got, want, m.lines)
				}
			})
		})
	}
}
