package leasequery_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// base is OPTION_LQ_BASE_TIME so many milliseconds after now; start is OPTION_LQ_START_TIME likewise.
func base(ms int) []byte  { return opt(optBaseTime, secondsAt(ms)) }
func start(ms int) []byte { return opt(optStartTime, secondsAt(ms)) }

func secondsAt(ms int) []byte { return u32(uint32((int64(now)+int64(ms))/1000 - 946684800)) }

func subReply(ms int, options ...[]byte) []byte {
	return msg(msgReply, opt(optClientID, requestorID), opt(optServerID, serverID), base(ms), cat(options...))
}

func subData(ms int, options ...[]byte) []byte { return msg(msgData, base(ms), cat(options...)) }
func subDone(ms int, options ...[]byte) []byte { return msg(msgDone, base(ms), cat(options...)) }

func status(code int, text string) []byte { return opt(optStatus, u16(code), []byte(text)) }

// play is a node and a subscription to it.
type play struct {
	*testing.T
	log  *history
	node *node
	sub  *leasequery.Subscription
	now  binding.Time
}

// The relays of the tests, and their chains in OPTION_LQ_RELAY_DATA.
var (
	relayA     = chain("", level(0, "2001:db8:ffff::1", "fe80::c", opt(optRelayID, []byte("relay-a")), opt(optRemoteID, u32(9), []byte("port-a"))))
	relayB     = chain("", level(0, "2001:db8:ffff::2", "fe80::c", opt(optRelayID, []byte("relay-b")), opt(optRemoteID, u32(9), []byte("port-b"))))
	throughA   = opt(optRelayData, ip("2001:db8:ffff::1"), relayForw(0, "2001:db8:ffff::1", "fe80::c", opt(optRelayID, []byte("relay-a")), opt(optRemoteID, u32(9), []byte("port-a"))))
	throughB   = opt(optRelayData, ip("2001:db8:ffff::2"), relayForw(0, "2001:db8:ffff::2", "fe80::c", opt(optRelayID, []byte("relay-b")), opt(optRemoteID, u32(9), []byte("port-b"))))
	everything = oro(optRelayData)
)

// playing is a state with two links, and the log that makes it.
func playing(t *testing.T) *play {
	h := &history{window: 10 * time.Minute}
	p := &play{T: t, log: h, node: h.node(0), now: now}
	p.at(0, define("one", []string{"2001:db8:1::/48"}, "2001:db8:ffff::1"), define("two", []string{"2001:db8:2::/48"}, "2001:db8:ffff::2"))
	return p
}

// at applies changes so many milliseconds later. Where they do not say when the client spoke, it is then.
func (p *play) at(ms int, changes ...binding.Change) *play {
	p.now += binding.Time(ms)
	for i := range changes {
		if changes[i].Binding.LastTransaction == 0 {
			changes[i].Binding.LastTransaction, changes[i].Binding.Stamp = p.now, uint32(p.now/1000)
		}
		if err := changes[i].Validate(); err != nil {
			p.Fatal(err)
		}
	}
	p.log.add(p.now, "kea", changes...)
	p.node.follow(1)
	return p
}

// pass lets so many milliseconds go by, and what is due happen.
func (p *play) pass(ms int) *play {
	p.now += binding.Time(ms)
	p.log.add(p.now, "")
	p.node.follow(1)
	return p
}

// leased is a lease whose client speaks when it is applied; gone is its end.
func (p *play) leased(kind binding.Kind, prefix, duid string, change ...func(*binding.Binding)) binding.Change {
	return upsert(duid, kind, prefix, 0, change...)
}

func (p *play) gone(reason binding.State, kind binding.Kind, prefix, duid string) binding.Change {
	return end(reason, duid, kind, prefix, 0)
}

func (p *play) subscribe(config leasequery.Config, r *leasequery.Requestor, octets []byte) *play {
	p.Helper()
	p.sub = p.node.subscribe(p.T, config, r, bytes.Clone(octets))
	p.Cleanup(p.sub.Close)
	return p
}

// expect reads until there is nothing more to tell, or the subscription is over.
func (p *play) expect(want ...[]byte) *play {
	p.Helper()
	var got [][]byte
	for more := true; more && len(got) < 10_000; {
		out, again, err := p.sub.Next(nil)
		if err != nil {
			p.Fatalf("Next: %v", err)
		}
		if len(out) > 0 {
			got = append(got, out)
		} else if p.sub.Waiting() {
			if p.sub.Pinned() != 0 {
				p.Error("a view is kept while there is nothing to tell")
			}
			break
		}
		more = again
	}
	compare(p.T, got, want)
	return p
}

// expectIdle is what Idle says.
func (p *play) expectIdle(want []byte) *play {
	p.Helper()
	out, more, err := p.sub.Idle(nil)
	if err != nil || !more {
		p.Fatalf("Idle: %v, %v", more, err)
	}
	compare(p.T, [][]byte{out}, [][]byte{want})
	return p
}

// RFC 7653 6.2.3, 8.3, 8.4: the REPLY at once, then a DATA for each change, with the base time that it may be resumed from.
func TestSubscriptionTellsOfChanges(t *testing.T) {
	p := playing(t).subscribe(leasequery.Config{}, nil, active(everything)).expect(subReply(0))
	p.at(1000, p.leased(binding.NA, "2001:db8:1::a", "client-a", behind(relayA)))
	one := iaAddr("2001:db8:1::a", 3600, 7200)
	p.expect(subData(1000, clientData("client-a", 0, one, throughA)))
	p.at(1000).expect().expectIdle(subData(2000))
	p.pass(600).expectIdle(subData(2600))
	p.at(400, p.leased(binding.PD, "2001:db8:a00::/56", "client-a", behind(relayA)))
	p.expect(subData(3000, clientData("client-a", 0, cat(iaAddr("2001:db8:1::a", 3598, 7198), iaPrefix("2001:db8:a00::/56", 3600, 7200)), throughA)))
	again := p.leased(binding.PD, "2001:db8:a00::/56", "client-a", behind(relayA))
	p.at(1000, again).expect(subData(4000, clientData("client-a", 0, cat(iaAddr("2001:db8:1::a", 3597, 7197), iaPrefix("2001:db8:a00::/56", 3600, 7200)), throughA)))
	p.at(0, again).expect() // rule 22: an upsert equal to what is stored is no change
	p.at(0, p.gone(binding.Released, binding.NA, "2001:db8:1::a", "client-a"))
	p.expect(subData(4000, clientData("client-a", 0, cat(iaAddr("2001:db8:1::a", 0, 0), iaPrefix("2001:db8:a00::/56", 3600, 7200)), throughA)))
	p.pass(7_199_000 - 1000).expectIdle(subData(7_202_000))
}

// Rule 24: what a slow requestor missed is told of in its newest state, each message but the last with the second of its own
// change.
func TestSubscriptionToldLateTellsTheNewestState(t *testing.T) {
	p := playing(t).subscribe(leasequery.Config{}, nil, active()).expect(subReply(0))
	a := p.leased(binding.NA, "2001:db8:1::a", "client-a")
	p.at(1000, a).at(1000, p.leased(binding.NA, "2001:db8:1::b", "client-b")).at(1000, p.leased(binding.NA, "2001:db8:1::c", "client-c"))
	p.at(1000, a, p.gone(binding.Released, binding.NA, "2001:db8:1::b", "client-b")).pass(1000)
	p.expect(
		subData(3000, clientData("client-c", 0, iaAddr("2001:db8:1::c", 3600, 7200))),
		subData(4000, clientData("client-a", 0, iaAddr("2001:db8:1::a", 3600, 7200))),
		subData(5000, clientData("client-b", 1, iaAddr("2001:db8:1::b", 0, 0))),
	)
}

// RFC 7653 8.4.1: what changed since the start time, the first client in the REPLY; then CatchUpComplete, also behind nothing.
func TestSubscriptionCatchesUp(t *testing.T) {
	for _, feed := range []int{0, 1} { // the feed, and the state where the feed does not reach back
		t.Run(fmt.Sprintf("feed of %d", feed), func(t *testing.T) {
			p := playing(t)
			p.node = p.log.node(feed)
			p.node.follow(1)
			p.at(500, p.leased(binding.NA, "2001:db8:1::a", "client-a")).at(1000, p.leased(binding.NA, "2001:db8:1::b", "client-b"))
			p.at(1000, p.leased(binding.NA, "2001:db8:1::c", "client-c")).at(1000)
			told := func(duid, address string, ago, left uint32) []byte {
				return clientData(duid, ago, iaAddr(address, left-3600, left))
			}
			complete := status(catchUpComplete, "")
			b, c := told("client-b", "2001:db8:1::b", 0, 7200), told("client-c", "2001:db8:1::c", 1, 7199)
			p.subscribe(leasequery.Config{}, nil, active(start(1500))).
				expect(subReply(1500, b), subData(3500, c), subData(3500, complete)).expectIdle(subData(3500))
			if p.sub.Behind() {
				t.Error("is still behind")
			}
			p.subscribe(leasequery.Config{}, nil, active(start(2500))).expect(subReply(3500, c), subData(3500, complete))
			p.subscribe(leasequery.Config{}, nil, active(start(3500))).expect(subReply(3500), subData(3500, complete))
			p.subscribe(leasequery.Config{}, nil, active(start(8500))).expect(subReply(3500), subData(3500, complete))
			p.at(0, p.leased(binding.NA, "2001:db8:1::d", "client-d")).expect(subData(3500, told("client-d", "2001:db8:1::d", 0, 7200)))
		})
	}
}

// A change after the acceptance is told of behind CatchUpComplete.
func TestSubscriptionCompletesAtItsAcceptance(t *testing.T) {
	p := playing(t)
	p.at(0, p.leased(binding.NA, "2001:db8:1::a", "client-a")).subscribe(leasequery.Config{}, nil, active(start(0)))
	p.at(1000, p.leased(binding.NA, "2001:db8:1::b", "client-b")).expect(
		subReply(0, clientData("client-a", 0, iaAddr("2001:db8:1::a", 3600, 7200))),
		subData(0, status(catchUpComplete, "")),
		subData(1000, clientData("client-b", 0, iaAddr("2001:db8:1::b", 3600, 7200))))
}

// RFC 7653 8.4.1, rule 25: DataMissing at the beginning and midway; the subscription goes on with what changes then.
func TestSubscriptionTellsThatDataIsMissing(t *testing.T) {
	prunedAt := func(p *play) *play {
		p.at(0, p.leased(binding.NA, "2001:db8:1::a", "client-a")).at(1000, p.gone(binding.Released, binding.NA, "2001:db8:1::a", "client-a"))
		return p
	}
	old := func(ms int) string {
		return fmt.Sprintf("changes are kept from %d s of base time on", binary.BigEndian.Uint32(secondsAt(ms)))
	}
	p := prunedAt(playing(t)).pass(7_201_000).pass(0)
	then := func(duid string) {
		t.Helper()
		p.at(0, p.leased(binding.NA, "2001:db8:1::b", duid)).expect(subData(7_202_000, clientData(duid, 0, iaAddr("2001:db8:1::b", 3600, 7200))))
		p.at(0, p.gone(binding.Deleted, binding.NA, "2001:db8:1::b", duid)).expect(subData(7_202_000, clientData(duid, 0, iaAddr("2001:db8:1::b", 0, 0))))
	}
	p.subscribe(leasequery.Config{}, nil, active(start(0))).expect(subReply(7_202_000, status(dataMissing, old(2000))))
	then("client-b")
	p.subscribe(leasequery.Config{}, nil, active(start(7_208_000))).expect(subReply(7_202_000, status(dataMissing, "the start time is 5 s ahead")))
	then("client-c")

	p = prunedAt(playing(t).subscribe(leasequery.Config{}, nil, active()).expect(subReply(0))).pass(7_201_000).pass(0)
	midway := fmt.Sprintf("changes before %d s of base time are no longer kept", binary.BigEndian.Uint32(secondsAt(2000)))
	p.expect(subData(7_202_000, status(dataMissing, midway)))
	then("client-d")
}

// A subscriber that was told of the newest end has missed nothing when that end is forgotten.
func TestSubscriptionIdlesThroughForgetting(t *testing.T) {
	p := playing(t)
	p.at(0, p.leased(binding.NA, "2001:db8:1::a", "client-a")).subscribe(leasequery.Config{}, nil, active()).expect(subReply(0))
	p.at(1000, p.gone(binding.Released, binding.NA, "2001:db8:1::a", "client-a")).expect(subData(1000, clientData("client-a", 0, iaAddr("2001:db8:1::a", 0, 0))))
	p.pass(7_200_000).pass(1000).at(0, p.leased(binding.NA, "2001:db8:1::b", "client-b"))
	p.expect(subData(7_202_000, clientData("client-b", 0, iaAddr("2001:db8:1::b", 3600, 7200))))
}

// Rules 19, 24: at shutdown, and when the node cannot prove that it is up to date: DONE with QueryTerminated and the base time to
// go on from.
func TestSubscriptionIsTerminated(t *testing.T) {
	const stale = "this server is not up to date; ask another"
	p := playing(t).subscribe(leasequery.Config{MaxStaleness: time.Second}, nil, active()).expect(subReply(0))
	p.at(1000, p.leased(binding.NA, "2001:db8:1::a", "client-a"))
	out, err := p.sub.Abort(nil, dhcpv6.StatusQueryTerminated, "bye")
	compare(t, [][]byte{out}, [][]byte{subDone(0, status(terminated, "bye"))})
	if _, _, again := p.sub.Next(nil); err != nil || !errors.Is(again, leasequery.ErrClosed) || !p.sub.Failed() {
		t.Errorf("behind the end: %v, %v", err, again)
	}
	p.subscribe(leasequery.Config{}, nil, active())
	out, err = p.sub.Abort(nil, dhcpv6.StatusQueryTerminated, "bye")
	compare(t, [][]byte{out}, [][]byte{subReply(1000, status(terminated, "bye"))})
	if err != nil {
		t.Error(err)
	}
	for name, lose := range map[string]func(){"too old": func() { p.node.age = 1001 * time.Millisecond }, "none": func() { p.node.fresh = false }} {
		p.subscribe(leasequery.Config{MaxStaleness: time.Second}, nil, active()).expect(subReply(1000))
		p.node.age = time.Second
		p.expect()
		lose()
		out, more, err := p.sub.Idle(nil)
		if want := subDone(1000, status(terminated, stale)); err != nil || more || !bytes.Equal(out, want) || !p.sub.Failed() {
			t.Errorf("%s: %x, %v, %v, want %x", name, out, more, err, want)
		}
		p.node.age, p.node.fresh = 0, true
	}
	p.node.fails = errors.New("no leader")
	p.subscribe(leasequery.Config{}, nil, active()).expect(subReply(1000, status(terminated, stale)))
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("over"))
	m, _ := dhcpv6.ParseMessage(active())
	if s, err := leasequery.New(leasequery.Config{}, p.node).Subscribe(ctx, leasequery.Request{Message: m}); s != nil || err == nil || err.Error() != "over" {
		t.Errorf("with a context that has ended: %v, %v", s, err)
	}
}

// RFC 7653 6.2.1: each query type selects what it selects in bulk leasequery; without OPTION_LQ_QUERY it is everything.
func TestSubscriptionFilters(t *testing.T) {
	for name, tc := range map[string]struct {
		query []byte
		told  string // the clients that are told of, each by a letter
	}{
		"everything":                       {nil, "abcd"},
		"by address":                       {lq(byAddress, "::", iaAddr("2001:db8:1::a", 0, 0)), "a"},
		"by address in a delegated prefix": {lq(byAddress, "::", iaAddr("2001:db8:2:ff00::1", 0, 0)), "d"},
		"by address on another link":       {lq(byAddress, "2001:db8:2::", iaAddr("2001:db8:1::a", 0, 0)), ""},
		"by client-id":                     {lq(byClientID, "::", opt(optClientID, []byte("b"))), "b"},
		"by relay-id":                      {lq(byRelayID, "::", opt(optRelayID, []byte("relay-a"))), "ac"},
		"by relay-id on a link":            {lq(byRelayID, "2001:db8:2::", opt(optRelayID, []byte("relay-a"))), "c"},
		"by link":                          {lq(byLink, "2001:db8:1::"), "ab"},
		"by a relay that the link lists, and one of a binding on another": {lq(byLink, "2001:db8:ffff::1"), "abcd"},
		"by a relay of a binding on the link":                             {lq(byLink, "2001:db8:ffff::9"), "ab"},
		"by remote-id":                                                    {lq(byRemoteID, "::", opt(optRemoteID, u32(9), []byte("port-b"))), "bd"},
	} {
		t.Run(name, func(t *testing.T) {
			on := func(link string, c binding.Chain) func(*binding.Binding) {
				return func(b *binding.Binding) { b.LinkName, b.Chain = []byte(link), c }
			}
			p := playing(t)
			p.at(0, p.leased(binding.NA, "2001:db8:1::9", "before", on("one", chain("", level(0, "2001:db8:ffff::9", "fe80::9")))))
			p.subscribe(leasequery.Config{}, nil, active(tc.query)).expect(subReply(0))
			p.at(1000,
				p.leased(binding.NA, "2001:db8:1::a", "a", on("one", relayA)), p.leased(binding.NA, "2001:db8:1::b", "b", on("one", relayB)),
				p.leased(binding.NA, "2001:db8:2::c", "c", on("two", relayA)), p.leased(binding.PD, "2001:db8:2:ff00::/56", "d", on("two", relayB)))
			told := map[byte][]byte{
				'a': clientData("a", 0, iaAddr("2001:db8:1::a", 3600, 7200)), 'b': clientData("b", 0, iaAddr("2001:db8:1::b", 3600, 7200)),
				'c': clientData("c", 0, iaAddr("2001:db8:2::c", 3600, 7200)), 'd': clientData("d", 0, iaPrefix("2001:db8:2:ff00::/56", 3600, 7200)),
			}
			var want [][]byte
			for _, letter := range []byte(tc.told) {
				want = append(want, subData(1000, told[letter]))
			}
			p.expect(want...)
		})
	}
}

// A message of a subscription allocates nothing; a view does, and there is one for each buffer that is filled.
func TestSubscriptionAllocatesNothing(t *testing.T) {
	p := playing(t)
	var all []binding.Change
	for n := range 1000 {
		all = append(all, p.leased(binding.NA, fmt.Sprintf("2001:db8:1::%x", n+1), fmt.Sprint("client-", n), behind(relayA)))
	}
	p.at(0, all...).subscribe(leasequery.Config{Sensitive: []dhcpv6.OptionCode{optSubscriberID}}, nil, active(everything, start(0)))
	buf := make([]byte, 0, 1<<20)
	next := func() {
		out, more, err := p.sub.Next(buf)
		if err != nil || !more || len(out) == len(buf) {
			t.Fatalf("no message: %v, %v", more, err)
		}
		buf = out
	}
	for range 200 {
		next()
	}
	if allocs := testing.AllocsPerRun(500, next); allocs != 0 {
		t.Errorf("%v allocations a message", allocs)
	}
}
