package bulk

import (
	"context"
	"encoding/binary"
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

// now is cluster time in the tests; nowBase the same as OPTION_LQ_BASE_TIME.
const now, nowBase = leasequerytest.Now, leasequerytest.NowBase

// The news that fills the world.
var link, lease = leasequerytest.DefineLink, leasequerytest.Lease

// world is a state to ask: the real store, filled by a test, at one moment.
type world struct {
	*store.Store
	index uint64
	fail  error // what View returns, if not nil
	mu    sync.Mutex
}

// failing makes every further View fail.
func (w *world) failing(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = err
}

func (w *world) View(context.Context) (binding.View, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return nil, w.fail
	}
	return w.Store.View(), nil
}

func (w *world) Now() binding.Time  { return now }
func (w *world) ServerDUID() []byte { return clusterID }

func newWorld() *world { return &world{Store: store.New()} }

// put applies changes of the source "kea", in one entry.
func (w *world) put(t testing.TB, changes ...binding.Change) *world {
	t.Helper()
	if err := w.apply(changes...); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) apply(changes ...binding.Change) error {
	for i := range changes {
		if err := changes[i].Validate(); err != nil {
			return err
		}
	}
	w.index++
	w.Apply(store.Batch{Index: w.index, Clock: now, Source: "kea", Changes: changes})
	return nil
}

// aged sets lifetimes and how long ago the client spoke, in seconds.
func aged(c binding.Change, preferred, valid uint32, ago int) binding.Change {
	c.Binding.Preferred, c.Binding.Valid, c.Binding.LastTransaction = preferred, valid, now-binding.Time(ago)*1000
	return c
}

// at names the link at the source.
func at(c binding.Change, name string) binding.Change {
	c.Binding.LinkName = []byte(name)
	return c
}

// onRelay is a chain of one relay with its identities.
func onRelay(linkAddress, relayID, remoteID string) binding.Chain {
	return binding.AppendChain(nil, netip.Addr{}, []binding.Level{{
		Link: netip.MustParseAddr(linkAddress), Peer: netip.MustParseAddr("fe80::c"),
		Options: cat(opt(optInterfaceID, []byte("ge-0/0/1")), opt(optRelayID, []byte(relayID)), opt(optRemoteID, u32(9), []byte(remoteID))),
	}})
}

// client is the OPTION_CLIENT_DATA of a client that spoke so many seconds ago: CLIENTID, addresses and prefixes, CLT_TIME, the
// rest.
func client(duid string, ago int, options ...[]byte) []byte {
	all := cat(options...)
	n := 0
	for n < len(all) {
		if code := binary.BigEndian.Uint16(all[n:]); code != optIAAddr && code != optIAPrefix {
			break
		}
		n += 4 + int(binary.BigEndian.Uint16(all[n+2:]))
	}
	return leasequerytest.ClientData(duid, uint32(ago), all[:n], all[n:])
}

// served is a server of a world on a real socket.
type served struct {
	*fixture
	addr net.Addr
}

func serve(t testing.TB, w *world, config Config, requestors ...leasequery.Requestor) *served {
	t.Helper()
	return serveEngine(t, w, config, leasequery.Config{}, requestors...)
}

func serveEngine(t testing.TB, w *world, config Config, engine leasequery.Config, requestors ...leasequery.Requestor) *served {
	t.Helper()
	return serveState(t, w, config, engine, requestors...)
}

func serveState(t testing.TB, w leasequery.State, config Config, engine leasequery.Config, requestors ...leasequery.Requestor) *served {
	t.Helper()
	registry := prometheus.NewRegistry()
	s := New(config, leasequery.New(engine, w), policyOf(t, requestors...), nil, NewMetrics(registry))
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		s.admission.each(func(c *conn) { c.end(endDrain, "the test is over") })
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		if n := s.metricsRunning(registry); n != 0 {
			t.Errorf("%v queries still counted as running", n)
		}
	})
	<-s.Ready()
	return &served{fixture: &fixture{Server: s, registry: registry, cancel: cancel, ran: ran}, addr: l.Addr()}
}

// metricsRunning is how many queries the metrics say are running.
func (s *Server) metricsRunning(registry *prometheus.Registry) float64 {
	families, err := registry.Gather()
	if err != nil {
		return -1
	}
	for _, f := range families {
		if f.GetName() == MetricRunning {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}

// hundredThousand is a crowd of 100,000, 10 of them behind another relay, made once: it takes a while. Nobody writes to it.
var hundredThousand = sync.OnceValues(func() (*world, error) { return crowd(100_000, 10) })

// large is a world that shares the store of hundredThousand.
func large(t testing.TB) *world {
	t.Helper()
	w, err := hundredThousand()
	if err != nil {
		t.Fatal(err)
	}
	return &world{Store: w.Store}
}

// many is a crowd of its own.
func many(t testing.TB, clients, few int) *world {
	t.Helper()
	w, err := crowd(clients, few)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// crowd is a world of so many clients of one address and one delegated prefix each, behind the relay "relay-all"; the first few
// behind "relay-few" instead.
func crowd(clients, few int) (*world, error) {
	w := newWorld()
	if err := w.apply(link("net", []string{"2001:db8::/32"}, "2001:db8:ffff::1")); err != nil {
		return nil, err
	}
	chains := []binding.Chain{onRelay("2001:db8:ffff::1", "relay-few", "few"), onRelay("2001:db8:ffff::1", "relay-all", "all")}
	batch := make([]binding.Change, 0, 2048)
	for n := range clients {
		a := [16]byte(addr("2001:db8:1::"))
		binary.BigEndian.PutUint32(a[12:], uint32(n+1))
		chain := chains[1]
		if n < few {
			chain = chains[0]
		}
		duid := "client" + string(u32(uint32(n)))
		batch = append(batch, lease(binding.NA, netip.AddrFrom16(a).String(), duid, chain))
		p := [16]byte(addr("2001:db8::"))
		binary.BigEndian.PutUint32(p[4:], 0x80000000|uint32(n)<<4)
		batch = append(batch, lease(binding.PD, netip.PrefixFrom(netip.AddrFrom16(p), 60).String(), duid, chain))
		if len(batch) >= 2000 || n == clients-1 {
			if err := w.apply(batch...); err != nil {
				return nil, err
			}
			batch = batch[:0]
		}
	}
	return w, nil
}
