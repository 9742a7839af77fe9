package leasequery_test

import (
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// Between two ends of one second the client got something. It is told at the second end, the client's newest change, though that end
// itself was told with the first.
func TestSubscriptionTellsWhatCameBeforeAnEndToldEarly(t *testing.T) {
	p := playing(t)
	p.at(0, p.leased(binding.NA, "2001:db8:1::a", "client-a", behind(relayA)), p.leased(binding.NA, "2001:db8:1::b", "client-a", behind(relayA)))
	p.subscribe(leasequery.Config{}, nil, active(everything)).expect(subReply(0))
	p.at(1000, p.gone(binding.Released, binding.NA, "2001:db8:1::a", "client-a"))
	p.at(100, p.leased(binding.PD, "2001:db8:1:a00::/56", "client-a", behind(relayA)))
	p.at(100, p.gone(binding.Released, binding.NA, "2001:db8:1::b", "client-a"))
	p.expect(
		subData(1000, clientData("client-a", 0, cat(iaAddr("2001:db8:1::a", 0, 0), iaAddr("2001:db8:1::b", 0, 0)), throughA)),
		subData(1000, clientData("client-a", 0, cat(iaAddr("2001:db8:1::b", 0, 0), iaPrefix("2001:db8:1:a00::/56", 3600, 7200)), throughA)))
}
