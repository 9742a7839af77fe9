package store

import (
	"bytes"
	"encoding/binary"
	"flag"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
)

// benchBindings is how many bindings the benchmarks' store has.
var benchBindings = flag.Int("bindings", 200_000, "bindings in the store of a benchmark")

const (
	benchRelays = 1000
	benchBatch  = 512
	benchStart  = binding.Time(1_700_000_000_000)
)

// generator makes the bindings of clients: an address and a /56 each, relayed with Interface-Id, Remote-Id and Relay-Id.
type generator struct {
	changes []binding.Change
	buf     []byte
	options []byte
}

func benchRelayID(relay int) []byte {
	return binary.BigEndian.AppendUint32([]byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 0}, uint32(relay))
}

// client appends the two bindings of a client to the batch; their slices hold until reset.
func (g *generator) client(n int, now binding.Time) {
	relay := n % benchRelays
	r := rand.New(rand.NewPCG(uint64(n), 7))
	from := len(g.buf)
	g.buf = append(g.buf, 0, 1, 0, 1)
	for range 6 + n%9 {
		g.buf = append(g.buf, byte(r.Uint32()))
	}
	duid := g.buf[from:len(g.buf):len(g.buf)]

	o := g.options[:0]
	o = strconv.AppendInt(append(o, 0, 18, 0, 11), int64(10_000_000_000+n), 10)
	o = append(o, 0, 37, 0, 20, 0, 0, 0, 9)
	o = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(o, uint64(n)), r.Uint64())
	id := benchRelayID(relay)
	o = append(append(o, 0, 53, 0, byte(len(id))), id...)
	g.options = o
	var peer [16]byte
	peer[0], peer[1] = 0xfe, 0x80
	binary.BigEndian.PutUint64(peer[8:], r.Uint64())
	link := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, byte(relay >> 8), byte(relay), 15: 1})
	from = len(g.buf)
	g.buf = binding.AppendChain(g.buf, link, []binding.Level{{Link: link, Peer: netip.AddrFrom16(peer), Options: o}})
	chain := binding.Chain(g.buf[from:len(g.buf):len(g.buf)])

	address := [16]byte{0x20, 1, 0xd, 0xb8, 0, 1, byte(relay >> 8), byte(relay)}
	binary.BigEndian.PutUint64(address[8:], r.Uint64()|1<<63)
	prefix := [16]byte{0x20, 1, 0xd, 0xb9, byte(n >> 16), byte(n >> 8), byte(n)}
	from = len(g.buf)
	g.buf = strconv.AppendInt(g.buf, int64(relay), 10)
	name := g.buf[from:len(g.buf):len(g.buf)]
	b := binding.Binding{Kind: binding.NA, Prefix: netip.PrefixFrom(netip.AddrFrom16(address), 128), DUID: duid, IAID: uint32(n),
		Preferred: 3600, Valid: 7200, LastTransaction: now, Stamp: uint32(now / 1000), LinkName: name, Chain: chain}
	g.changes = append(g.changes, binding.Change{Event: binding.Upsert, Binding: b})
	b.Kind, b.Prefix = binding.PD, netip.PrefixFrom(netip.AddrFrom16(prefix), 56)
	g.changes = append(g.changes, binding.Change{Event: binding.Upsert, Binding: b})
}

func (g *generator) reset() {
	g.changes, g.buf = g.changes[:0], g.buf[:0]
}

func benchLinks(s *Store) {
	var changes []binding.Change
	for relay := range benchRelays {
		n := strconv.Itoa(relay)
		p := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, byte(relay >> 8), byte(relay)}), 64)
		changes = append(changes, binding.Change{Event: binding.DefineLink, Link: &binding.Link{Label: n, Names: []string{n}, Prefixes: []netip.Prefix{p}}})
	}
	s.Apply(Batch{Index: 1, Clock: benchStart, Source: "kea", Changes: changes})
}

// fillStore inserts the clients in random order and returns the time spent in Apply.
func fillStore(tb testing.TB, s *Store, bindings int) time.Duration {
	var g generator
	var spent time.Duration
	clients := bindings / 2
	for i := range clients {
		g.client(int(uint64(i)*1_000_000_007%uint64(clients)), benchStart) // all, in an order without pattern, as long as it is no multiple
		if len(g.changes) == benchBatch || i == clients-1 {
			begin := cpu(tb)
			s.Apply(Batch{Index: uint64(i + 2), Clock: benchStart, Source: "kea", Changes: g.changes})
			spent += cpu(tb) - begin
			g.reset()
		}
	}
	return spent
}

// cpu is the processor time that the process has used: the other clock would measure the machine's other work, too.
func cpu(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Skip(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rss is the resident memory of the process in octets.
func rss(tb testing.TB) int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		tb.Skip(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// benchStore is a filled store, made once for all benchmarks of a run.
type benchStore struct {
	store  *Store
	insert time.Duration
	rss    int64
	heap   uint64
}

func newBenchStore(tb testing.TB) *benchStore {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	resident := rss(tb)
	s := New()
	benchLinks(s)
	b := &benchStore{store: s, insert: fillStore(tb, s, *benchBindings)}
	b.rss = rss(tb) - resident
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.heap = after.HeapAlloc - before.HeapAlloc
	return b
}

// BenchmarkStore measures one store through its life. The unit of every figure is one binding.
func BenchmarkStore(b *testing.B) {
	x := newBenchStore(b)
	n := float64(x.store.Len())
	b.Run("insert", func(b *testing.B) {
		for b.Loop() {
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(n/x.insert.Seconds(), "bindings/s")
		b.ReportMetric(float64(x.rss)/n, "RSS-B/binding")
		b.ReportMetric(float64(x.heap)/n, "heap-B/binding")
	})
	b.Run("renew", func(b *testing.B) { benchRenew(b, x.store) })
	b.Run("renew under view", func(b *testing.B) {
		v := x.store.View()
		defer v.Release()
		benchRenew(b, x.store)
		b.ReportMetric(float64(v.Pinned())/n, "pinned-B/binding")
	})
	b.Run("relays", func(b *testing.B) { benchRelaysScan(b, x.store) })
	b.Run("everything", func(b *testing.B) { benchScan(b, x.store, binding.Query{}) })
	b.Run("address", func(b *testing.B) { benchFind(b, x.store) })
	b.Run("snapshot", func(b *testing.B) { benchSnapshot(b, x.store) })
	b.Run("hash", func(b *testing.B) {
		v := x.store.View()
		defer v.Release()
		begin := cpu(b)
		for b.Loop() {
			v.Hash()
		}
		perSecond(b, b.N*int(v.Len()), cpu(b)-begin)
	})
}

func perSecond(b *testing.B, bindings int, spent time.Duration) {
	b.ReportMetric(float64(bindings)/spent.Seconds(), "bindings/s")
}

func benchRenew(b *testing.B, s *Store) {
	r := rand.New(rand.NewPCG(3, 4))
	clients := int(s.Len() / 2)
	var g generator
	var spent time.Duration
	now := s.clock
	for b.Loop() {
		now += 1000
		for len(g.changes) < benchBatch {
			g.client(r.IntN(clients), now)
		}
		begin := cpu(b)
		c := s.Apply(Batch{Index: s.index + 1, Clock: now, Source: "kea", Changes: g.changes})
		spent += cpu(b) - begin
		if c.Changed < benchBatch*9/10 {
			b.Fatalf("%+v", c)
		}
		g.reset()
	}
	b.ReportMetric(float64(b.N*benchBatch)/spent.Seconds(), "bindings/s")
}

func benchRelaysScan(b *testing.B, s *Store) {
	v := s.View()
	defer v.Release()
	relay, n := 0, 0
	b.ReportAllocs()
	var c binding.Client
	begin := cpu(b)
	for b.Loop() {
		relay++
		for cur := v.Walk(binding.Query{By: binding.ByRelayID, Value: benchRelayID(relay % benchRelays)}); cur.Next(&c); {
			n += len(c.Entries)
		}
	}
	perSecond(b, n, cpu(b)-begin)
}

func benchScan(b *testing.B, s *Store, q binding.Query) {
	v := s.View()
	defer v.Release()
	n := 0
	b.ReportAllocs()
	var c binding.Client
	begin := cpu(b)
	for b.Loop() {
		for cur := v.Walk(q); cur.Next(&c); {
			n += len(c.Entries)
		}
	}
	perSecond(b, n, cpu(b)-begin)
}

func benchFind(b *testing.B, s *Store) {
	v := s.View()
	defer v.Release()
	var g generator
	for n := range 1000 {
		g.client(n*7%int(s.Len()/2), benchStart)
	}
	i := 0
	for b.Loop() {
		k := g.changes[i%len(g.changes)].Binding.Key()
		if _, ok := v.state.findLive(k); !ok {
			b.Fatal(k)
		}
		i += 2
	}
}

func benchSnapshot(b *testing.B, s *Store) {
	v := s.Snapshot()
	defer v.Release()
	var written, read time.Duration
	var size int64
	for b.Loop() {
		var buf bytes.Buffer
		begin := cpu(b)
		n, err := v.WriteTo(io.Writer(&buf))
		written += cpu(b) - begin
		if err != nil {
			b.Fatal(err)
		}
		size = n
		begin = cpu(b)
		r, err := Restore(&buf)
		read += cpu(b) - begin
		if err != nil || r.Len() != s.Len() {
			b.Fatal(err)
		}
	}
	n := float64(b.N) * float64(v.Len())
	b.ReportMetric(n/written.Seconds(), "written/s")
	b.ReportMetric(n/read.Seconds(), "restored/s")
	b.ReportMetric(float64(size)/float64(v.Len()), "B/binding")
}
