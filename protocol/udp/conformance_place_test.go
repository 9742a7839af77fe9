package udp

import (
	"testing"

	"github.com/leasehold/leasehold/protocol/leasequery"
)

// Rule 6: relay data stands in the client data, or beside it for requestors that want it so; the stanza's own setting goes first.
func TestRule06PlaceOfRelayData(t *testing.T) {
	bindings := cat(leased("2001:db8:1::a"), delegated("2001:db8:a00::/56"))
	chain := opt(optRelayData, addr(relay1), cat([]byte{msgRelayForw, 0}, addr(relay1), addr("fe80::c"), relayOptions))
	inside, beside := client(clientA, 100, bindings, chain), cat(client(clientA, 100, bindings), chain)
	query := ask(1, byAddress("::", "2001:db8:1::a", opt(optORO, codes(optRelayData))))
	for name, tc := range map[string]struct {
		all, own leasequery.RelayDataPlace
		want     []byte
	}{
		"by default":           {0, 0, inside},
		"beside, for all":      {leasequery.RelayDataInMessage, 0, beside},
		"beside, for this one": {leasequery.RelayDataInClientData, leasequery.RelayDataInMessage, beside},
		"inside, for this one": {leasequery.RelayDataInMessage, leasequery.RelayDataInClientData, inside},
	} {
		t.Run(name, func(t *testing.T) {
			r := loopback()
			r.RelayDataPlace = tc.own
			w := serveEngine(t, house(t), Config{}, leasequery.Config{RelayDataPlace: tc.all}, r).dial(t)
			w.exchange(query, answer(1, tc.want))
			w.exchange(ask(2, byAddress("::", "2001:db8:2::d", opt(optORO, codes(optRelayData)))), answer(2, clientAOn2)) // came unrelayed
			w.exchange(ask(3, byAddress("::", "2001:db8:1::a")), answer(3, clientAOn1))                                   // did not ask
		})
	}
}
