package leasequery_test

import (
	"fmt"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// What random histories found wrong once, each by hand.

// on names the link of a binding.
func on(link string) func(*binding.Binding) {
	return func(b *binding.Binding) { b.LinkName = []byte(link) }
}

// A binding that matches has run out but was not ended yet, when another of its client ends: that end is told.
func TestSubscriptionTellsOfEndsBesideWhatHasRunOut(t *testing.T) {
	p := playing(t)
	p.at(0, p.leased(binding.NA, "2001:db8:1::a", "client-a", lasting(1, 2)), p.leased(binding.NA, "2001:db8:1::b", "client-a"))
	p.subscribe(leasequery.Config{}, nil, active(lq(byAddress, "::", iaAddr("2001:db8:1::a", 0, 0)))).expect(subReply(0))
	p.at(3000, p.gone(binding.Released, binding.NA, "2001:db8:1::b", "client-a"))
	p.expect(subData(3000, clientData("client-a", 0, iaAddr("2001:db8:1::b", 0, 0))))
	p.pass(1000).expectOnce(4000, "client-a", iaAddr("2001:db8:1::a", 0, 0))
}

// A link is selected only for the sake of a binding that ends: the end is told, to who was there and to who comes back.
func TestSubscriptionTellsOfTheLastBindingOnALink(t *testing.T) {
	far := chain("", level(0, "2001:db8:ffff::9", "fe80::9"))
	p := playing(t)
	p.at(0, p.leased(binding.NA, "2001:db8:1::a", "client-a", behind(far), on("one")), p.leased(binding.NA, "2001:db8:2::b", "client-b", behind(far), on("two")))
	q := lq(byLink, "2001:db8:ffff::9")
	p.subscribe(leasequery.Config{}, nil, active(q)).expect(subReply(0))
	gone := subData(1000, clientData("client-a", 0, iaAddr("2001:db8:1::a", 0, 0)))
	p.at(1000, p.gone(binding.Released, binding.NA, "2001:db8:1::a", "client-a")).expect(gone)
	p.subscribe(leasequery.Config{}, nil, active(q, start(1000)))
	p.expect(subReply(1000, clientData("client-a", 0, iaAddr("2001:db8:1::a", 0, 0))), subData(1000, status(catchUpComplete, "")))
}

// A link that is redefined takes clients in or leaves them out that have not changed themselves: data is missing.
func TestSubscriptionTellsThatLinksDiffer(t *testing.T) {
	missing := status(dataMissing, "other links have the link-address 2001:db8:2::1 now")
	p := playing(t)
	p.at(0, p.leased(binding.NA, "2001:db8:1::a", "client-a", on("one")), p.leased(binding.NA, "2001:db8:1::b", "client-b", on("one")))
	p.subscribe(leasequery.Config{}, nil, active(lq(byLink, "2001:db8:2::1"))).expect(subReply(0))
	p.at(1000, define("one", []string{"2001:db8:1::/48"}, "2001:db8:2::1")).expect(subData(1000, missing))
	p.at(1000, p.gone(binding.Released, binding.NA, "2001:db8:1::a", "client-a")).expect(subData(2000, clientData("client-a", 0, iaAddr("2001:db8:1::a", 0, 0))))
	p.at(1000, define("one", []string{"2001:db8:1::/48"})).expect(subData(3000, missing))
	p.at(1000, p.gone(binding.Released, binding.NA, "2001:db8:1::b", "client-b")).expect()
}

// A restricted requestor's binding was changed, then one of the same client that it may not see; it resumes in between.
func TestSubscriptionOfARestrictedRequestorThatResumes(t *testing.T) {
	r := &leasequery.Requestor{Restricted: &leasequery.Restriction{RelayIDs: [][]byte{[]byte("relay-a")}}}
	p := playing(t)
	p.at(0, p.leased(binding.NA, "2001:db8:1::a", "client-a", behind(relayA), on("one"))).at(1000, p.leased(binding.NA, "2001:db8:1::f", "client-f", behind(relayA), on("one")))
	p.at(1000, p.leased(binding.NA, "2001:db8:1::b", "client-a", behind(relayB), on("one")))
	p.subscribe(leasequery.Config{}, r, active(start(2000)))
	p.expect(subReply(2000, clientData("client-a", 2, iaAddr("2001:db8:1::a", 3598, 7198))), subData(2000, status(catchUpComplete, "")))
}

// An address that was a temporary one and is none any more, or the other way round, is shown once.
func TestAnAddressOfTwoKindsIsShownOnce(t *testing.T) {
	p := playing(t)
	p.at(0, p.leased(binding.TA, "2001:db8:1::a", "client-a", behind(relayA), on("one"))).at(1000, p.leased(binding.NA, "2001:db8:1::a", "client-a", behind(relayB), on("one")))
	p.at(0, p.leased(binding.NA, "2001:db8:1::b", "client-a", behind(relayA), on("one")))
	p.subscribe(leasequery.Config{}, nil, active(start(0)))
	p.expect(subReply(1000, clientData("client-a", 0, cat(iaAddr("2001:db8:1::a", 3600, 7200), iaAddr("2001:db8:1::b", 3600, 7200)))), subData(1000, status(catchUpComplete, "")))
}

// An end of the same second is told early, beside another of its client; one of a later second is not, for the base time would not be its
// own.
func TestSubscriptionTellsEndsOfASecondTogether(t *testing.T) {
	p := twoBindings(t).subscribe(leasequery.Config{}, nil, active(everything)).expect(subReply(0))
	p.at(1000, p.gone(binding.Released, binding.NA, "2001:db8:1::a", "client-a"))
	p.at(100, p.gone(binding.Released, binding.PD, "2001:db8:1:a00::/56", "client-a")) // of the same second
	zeros := cat(iaAddr("2001:db8:1::a", 0, 0), iaPrefix("2001:db8:1:a00::/56", 0, 0))
	p.expect(subData(1000, clientData("client-a", 0, zeros, throughA)))

	p = twoBindings(t).subscribe(leasequery.Config{}, nil, active(everything)).expect(subReply(0))
	p.at(1000, p.gone(binding.Released, binding.NA, "2001:db8:1::a", "client-a"))
	p.at(2000, p.gone(binding.Released, binding.PD, "2001:db8:1:a00::/56", "client-a"))
	p.expect(
		subData(1000, clientData("client-a", 0, iaAddr("2001:db8:1::a", 0, 0), throughA)),
		subData(3000, clientData("client-a", 0, iaPrefix("2001:db8:1:a00::/56", 0, 0), throughA)))
}

// A client that had many addresses, one after the other, is told of in as many messages, not each with all ends behind it: what one client
// costs does not grow with the square of them.
func TestSubscriptionTellsEndsOnce(t *testing.T) {
	const ends = 50
	p := playing(t).at(0, leasedInTurn(ends)...)
	for n := range ends {
		p.at(1000, p.gone(binding.Released, binding.NA, nthAddress(n), "client-a"))
	}
	p.subscribe(leasequery.Config{}, nil, active(start(1000)))
	want := [][]byte{subReply(1000, clientData("client-a", 0, iaAddr(nthAddress(0), 0, 0)))}
	for n := 1; n < ends; n++ {
		want = append(want, subData((n+1)*1000, clientData("client-a", 0, iaAddr(nthAddress(n), 0, 0))))
	}
	p.expect(append(want, subData(ends*1000, status(catchUpComplete, "")))...)
}

func nthAddress(n int) string { return fmt.Sprintf("2001:db8:1::%x", n+1) }

func leasedInTurn(n int) (all []binding.Change) {
	for i := range n {
		all = append(all, upsert("client-a", binding.NA, nthAddress(i), 0))
	}
	return all
}

// A client that no longer matches did when another binding of it ended, seconds before: that end is told too.
func TestSubscriptionTellsEndsOfWhoMatchedThen(t *testing.T) {
	p := playing(t)
	p.at(0, p.leased(binding.NA, "2001:db8:1::a", "client-a", behind(relayA)), p.leased(binding.NA, "2001:db8:1::b", "client-a", on("one")))
	p.subscribe(leasequery.Config{}, nil, active(lq(byRelayID, "::", opt(optRelayID, []byte("relay-a"))))).expect(subReply(0))
	p.at(1000, p.gone(binding.Released, binding.NA, "2001:db8:1::b", "client-a"))
	p.at(2000, p.gone(binding.Released, binding.NA, "2001:db8:1::a", "client-a"))
	p.expect(
		subData(1000, clientData("client-a", 0, iaAddr("2001:db8:1::b", 0, 0))),
		subData(3000, clientData("client-a", 0, iaAddr("2001:db8:1::a", 0, 0))))
}

// A client that ceases to match had something then that ended seconds later: nothing else would tell of that.
func TestSubscriptionTellsWhatWasLeftAtAnExit(t *testing.T) {
	p := playing(t)
	p.at(0, p.leased(binding.NA, "2001:db8:1::a", "client-a", behind(relayA)), p.leased(binding.NA, "2001:db8:1::b", "client-a", on("one")))
	p.subscribe(leasequery.Config{}, nil, active(lq(byRelayID, "::", opt(optRelayID, []byte("relay-a"))))).expect(subReply(0))
	p.at(1000, p.gone(binding.Released, binding.NA, "2001:db8:1::a", "client-a"))
	p.at(2000, p.gone(binding.Released, binding.NA, "2001:db8:1::b", "client-a"))
	p.expect(subData(1000, clientData("client-a", 0, cat(iaAddr("2001:db8:1::a", 0, 0), iaAddr("2001:db8:1::b", 0, 0)))))
}
