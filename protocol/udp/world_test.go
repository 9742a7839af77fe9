package udp

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/store"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/leasequery/leasequerytest"
)

// now is cluster time in the tests.
const now = leasequerytest.Now

// The news that fills the world.
var link, lease = leasequerytest.DefineLink, leasequerytest.Lease

// world is a state to ask: the real store, filled by a test, at one moment.
type world struct {
	*store.Store
	index uint64

	mu   sync.Mutex
	fail error         // what View returns, if not nil
	hold chan struct{} // View waits for it, if not nil
}

func newWorld() *world { return &world{Store: store.New()} }

// set changes how View goes on from now on.
func (w *world) set(fail error, hold chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail, w.hold = fail, hold
}

// View is the store's, as soon as hold lets it.
func (w *world) View(ctx context.Context) (binding.View, error) {
	w.mu.Lock()
	fail, hold := w.fail, w.hold
	w.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if fail != nil {
		return nil, fail
	}
	return w.Store.View(), nil
}

func (w *world) Now() binding.Time  { return now }
func (w *world) ServerDUID() []byte { return clusterID }

// put applies changes of the source "kea", in one entry.
func (w *world) put(t testing.TB, changes ...binding.Change) *world {
	t.Helper()
	for i := range changes {
		if err := changes[i].Validate(); err != nil {
			t.Fatal(err)
		}
	}
	w.index++
	w.Apply(store.Batch{Index: w.index, Clock: now, Source: "kea", Changes: changes})
	return w
}

// The clients of house.
const (
	clientA = "\x00\x01client-a"
	clientB = "\x00\x01client-b"
)

// The relay of house, and what it puts into its messages.
const relay1 = "2001:db8:ffff::1"

var relayOptions = cat(opt(optInterfaceID, []byte("ge-0/0/1")), opt(optRemoteID, u32(9), []byte("port-1")), opt(optSubscriberID, []byte("sub-1")))

// house is the world that most cases ask: two links, a client on both and one on the first alone.
func house(t testing.TB) *world {
	chain := binding.AppendChain(nil, netip.Addr{}, []binding.Level{{Link: netip.MustParseAddr(relay1), Peer: netip.MustParseAddr("fe80::c"), Options: relayOptions}})
	return newWorld().put(t,
		link("net1", []string{"2001:db8:1::/64"}, relay1),
		link("net2", []string{"2001:db8:2::/64", "2001:db8:3::/64"}),
		lease(binding.PD, "2001:db8:a00::/56", clientA, chain),
		lease(binding.NA, "2001:db8:1::a", clientA, chain, opt(optFQDN, []byte("\x00\x01a\x00"))),
		lease(binding.NA, "2001:db8:1::c", clientB, chain),
		lease(binding.NA, "2001:db8:2::d", clientA, nil),
		lease(binding.NA, "2001:db8:3::d", clientA, nil),
	)
}

// What house says of its clients.
var (
	clientAOn1 = client(clientA, 100, cat(leased("2001:db8:1::a"), delegated("2001:db8:a00::/56")))
	clientBOn1 = client(clientB, 100, leased("2001:db8:1::c"))
	clientAOn2 = client(clientA, 100, cat(leased("2001:db8:2::d"), leased("2001:db8:3::d")))
)

// loopback is a requestor that may do everything, relay included.
func loopback() leasequery.Requestor {
	return leasequery.Requestor{Name: "loopback", Prefixes: []netip.Prefix{netip.MustParsePrefix("::1/128")}, Relayed: true}
}

// served is a server of a world on real sockets.
type served struct {
	*Server
	t        testing.TB
	addr     netip.AddrPort
	registry *prometheus.Registry
	stop     func() error // ends it and returns what Run did; the second call does nothing
}

// serve runs a server on loopback, on two sockets. Without requestors it knows loopback.
func serve(t testing.TB, w leasequery.State, config Config, requestors ...leasequery.Requestor) *served {
	t.Helper()
	return serveEngine(t, w, config, leasequery.Config{}, requestors...)
}

func serveEngine(t testing.TB, w leasequery.State, config Config, engine leasequery.Config, requestors ...leasequery.Requestor) *served {
	t.Helper()
	conns, err := Listen(context.Background(), netip.MustParseAddrPort("[::1]:0"), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, conns, w, config, engine, requestors...)
}

func serveOn(t testing.TB, conns []*net.UDPConn, w leasequery.State, config Config, engine leasequery.Config, requestors ...leasequery.Requestor) *served {
	t.Helper()
	if len(requestors) == 0 {
		requestors = []leasequery.Requestor{loopback()}
	}
	policy, err := leasequery.NewPolicy(requestors)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	s := New(config, leasequery.New(engine, w), policy, nil, NewMetrics(registry))
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx, conns...) }()
	<-s.Ready()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-ran
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return &served{Server: s, t: t, addr: conns[0].LocalAddr().(*net.UDPAddr).AddrPort(), registry: registry, stop: stop}
}

// dial is a requestor's socket on loopback.
func (s *served) dial(t testing.TB) *wire {
	t.Helper()
	return newWire(t, "[::1]:0", s.addr)
}

// metric is the value of a series, or of all of a name where label is "".
func (s *served) metric(name, label string) float64 {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if label == "" || len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label {
				sum += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

// discarded checks how many datagrams got no answer for a reason.
func (s *served) discarded(reason string, want int) {
	s.t.Helper()
	if got := s.metric(MetricDiscarded, reason); got != float64(want) {
		s.t.Errorf("%v discarded as %q, want %d", got, reason, want)
	}
}
