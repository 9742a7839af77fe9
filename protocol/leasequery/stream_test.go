package leasequery_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/leasequery/leasequerytest"
)

// row is so many clients of one address each.
func row(clients int) *world {
	var bindings []leasequerytest.Binding
	for n := range clients {
		bindings = append(bindings, lease(1, binding.NA, fmt.Sprintf("2001:db8::%x", n+1), fmt.Sprintf("c%03d", n)))
	}
	return newWorld([]leasequerytest.Link{netLink(1, []string{"2001:db8::/32"})}, bindings...)
}

// validOf is the valid lifetime of the address that a message ends with, in front of CLT_TIME.
func validOf(t *testing.T, message []byte) uint32 {
	t.Helper()
	m, err := dhcpv6.ParseMessage(message)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := m.Options.First(dhcpv6.OptionClientData)
	v, ok := dhcpv6.Options(d).First(dhcpv6.OptionIAAddr)
	if !ok {
		t.Fatalf("no address in %x", message)
	}
	a, err := dhcpv6.ParseIAAddress(v)
	if err != nil {
		t.Fatal(err)
	}
	return a.Valid
}

// Lifetimes are those of the time of writing: once the caller has sent its buffer away the clock is read again, and in one buffer
// every 16 clients. A requestor that stalls for minutes does not get lifetimes of minutes ago.
func TestLifetimesAreOfTheTimeOfWriting(t *testing.T) {
	w := row(64)
	a, err := w.begin(leasequery.TCP, nil, linkQuery("2001:db8::"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	next := func(dst []byte) ([]byte, uint32) {
		out, _, err := a.Next(dst)
		if err != nil {
			t.Fatal(err)
		}
		return out, validOf(t, out[len(dst):])
	}
	buf, valid := next(nil)
	if valid != 7100 {
		t.Errorf("first: %d", valid)
	}
	w.SetTime(now, now+300_000)
	if _, valid = next(buf[:0]); valid != 6800 {
		t.Errorf("in the next buffer, 300 s later: %d seconds, want 6800", valid)
	}
	w.SetTime(now, now+400_000)
	for n := 0; valid == 6800; n++ {
		if buf, valid = next(buf); n > 16 {
			t.Fatal("the clock is not read again")
		}
	}
	if valid != 6700 {
		t.Errorf("100 s later in one buffer: %d seconds, want 6700", valid)
	}
}

// What runs out while an answer is written is not told any more.
func TestWhatRunsOutWhileWritingIsLeftOut(t *testing.T) {
	w := row(3)
	a, err := w.begin(leasequery.TCP, nil, linkQuery("2001:db8::"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, more, err := a.Next(nil); !more || err != nil {
		t.Fatalf("more %v, %v", more, err)
	}
	w.SetTime(now, now+7_100_000)
	got, more, err := a.Next(nil)
	if more || err != nil {
		t.Errorf("more %v, %v", more, err)
	}
	compare(t, [][]byte{got}, [][]byte{done()})
}

// An answer is of one view: what changes behind it does not show, and lifetimes with base time do not move.
func TestAnswerIsOfOneView(t *testing.T) {
	w := house()
	a, err := w.begin(leasequery.TCP, nil, clientQuery("::", "client-a", oro(optBaseTime)))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	first, _, err := a.Next(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.SetBindings()
	w.SetLinks()
	w.SetTime(now+500_000, now+600_000)
	second, _, err := a.Next(nil)
	if err != nil {
		t.Fatal(err)
	}
	base := opt(optBaseTime, u32(nowBase))
	compare(t, [][]byte{first, second}, [][]byte{reply(base, clientAOn1), data(base, clientAOn2)})
}

// pinning is a view that tells how much it pins.
type pinning struct{ binding.View }

func (pinning) Pinned() int64 { return 4711 }

type pinningState struct{ *world }

func (s pinningState) View(ctx context.Context) (binding.View, error) {
	v, err := s.State.View(ctx)
	return pinning{v}, err
}

func TestPinnedIsWhatTheViewSays(t *testing.T) {
	m, err := dhcpv6.ParseMessage(clientQuery("::", "client-a"))
	if err != nil {
		t.Fatal(err)
	}
	for want, state := range map[int64]leasequery.State{0: house(), 4711: pinningState{house()}} {
		a, err := leasequery.New(leasequery.Config{}, state).Begin(context.Background(), leasequery.Request{Message: m, Peer: relayAddr})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Pinned(); got != want {
			t.Errorf("pinned %d, want %d", got, want)
		}
		a.Close()
		if got := a.Pinned(); got != 0 {
			t.Errorf("pinned %d after Close", got)
		}
	}
}

// counters is the value of every counter: its name and the values of its labels.
func counters(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue()
		}
	}
	return got
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	w := house()
	w.config.Metrics = leasequery.NewMetrics(registry)
	w.ask(t, leasequery.TCP, nil, clientQuery("::", "client-a"))      // 2 clients, 7 bindings
	w.ask(t, leasequery.UDP, nil, clientQuery("::", "client-b"))      // 1, 1
	w.ask(t, leasequery.TCP, nil, linkQuery("3fff::"))                // NotConfigured
	w.ask(t, leasequery.TCP, nil, query(opt(optQuery)))               // MalformedQuery
	w.ask(t, leasequery.TCP, nil, query(lq(77, "::")))                // UnknownQueryType
	w.ask(t, leasequery.UDP, nil, relayQuery("::", "relay-1"))        // NotAllowed
	w.ask(t, leasequery.TCP, nil, addressQuery("::", "2001:db8:1::")) // nothing found
	large := make([]leasequerytest.Binding, 2400)
	for n := range large {
		large[n] = lease(1, binding.NA, fmt.Sprintf("2001:db8:1::%x", n+1), "large")
	}
	w.SetBindings(large...)
	w.ask(t, leasequery.UDP, nil, clientQuery("::", "large")) // UnspecFail: nothing told
	got := counters(t, registry)
	want := map[string]float64{
		leasequery.MetricClients: 3, leasequery.MetricBindings: 8,
		leasequery.MetricQueries + " QUERY_BY_CLIENTID": 3, leasequery.MetricQueries + " QUERY_BY_LINK_ADDRESS": 1,
		leasequery.MetricQueries + " QUERY_BY_RELAY_ID": 1, leasequery.MetricQueries + " QUERY_BY_ADDRESS": 1, leasequery.MetricQueries + " unknown": 2,
		leasequery.MetricStatuses + " NotConfigured": 1, leasequery.MetricStatuses + " MalformedQuery": 1,
		leasequery.MetricStatuses + " UnspecFail": 1, leasequery.MetricStatuses + " UnknownQueryType": 1, leasequery.MetricStatuses + " NotAllowed": 1,
	}
	for name := range got {
		if got[name] != want[name] {
			t.Errorf("%s is %v, want %v", name, got[name], want[name])
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
}
