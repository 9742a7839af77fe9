package leasequery_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/store"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// parsed is a request over UDP.
func parsed(t testing.TB, message []byte, r *leasequery.Requestor) leasequery.Request {
	m, err := dhcpv6.ParseMessage(message)
	if err != nil {
		t.Fatal(err)
	}
	return leasequery.Request{Message: m, Peer: relayAddr, Requestor: r, Over: leasequery.UDP}
}

// TestBatchAnswersAsOneByOne: whatever was answered before from the same memory, an answer of a batch has the octets that it has
// alone, from the real store.
func TestBatchAnswersAsOneByOne(t *testing.T) {
	found := map[byte]int{}
	rapid.Check(t, func(rt *rapid.T) {
		s := drawScene(rt)
		s.drawQuestion(rt)
		engine := leasequery.New(s.config, s.store(rt))
		batch := engine.NewBatch()
		if err := batch.Open(context.Background()); err != nil {
			rt.Fatal(err)
		}
		dst := []byte("before")
		for n := range questions {
			s.drawQuestion(rt)
			r := parsed(t, s.message(), s.requestor)
			a, err := engine.Begin(context.Background(), r)
			if err != nil {
				rt.Fatal(err)
			}
			want, _, err := a.Next(nil)
			a.Close()
			if err != nil {
				rt.Fatal(err)
			}
			begin := len(dst)
			if dst, err = batch.Answer(dst, r); err != nil || !bytes.Equal(want, dst[begin:]) {
				rt.Fatalf("question %d: %x, %v, alone %x", n, dst[begin:], err, want)
			}
			found[want[len(want)-1]]++
			if n%7 == 6 {
				batch.Close()
				if err := batch.Open(context.Background()); err != nil {
					rt.Fatal(err)
				}
			}
		}
		batch.Close()
	})
	if len(found) < 3 {
		t.Errorf("all answers are alike: %v", found)
	}
}

func TestBatchWithoutView(t *testing.T) {
	w := newWorld(nil)
	lost := errors.New("no leader")
	w.SetError(lost)
	batch := leasequery.New(leasequery.Config{}, w).NewBatch()
	if err := batch.Open(context.Background()); !errors.Is(err, lost) {
		t.Errorf("open: %v", err)
	}
	out, err := batch.Answer(nil, parsed(t, addressQuery("::", "2001:db8::1"), nil))
	d, ok := errors.AsType[*leasequery.DiscardError](err)
	if !ok || d.Reason != leasequery.DiscardNotFresh || !errors.Is(err, lost) || len(out) != 0 {
		t.Errorf("answer %x, %v", out, err)
	}
	out, err = batch.Answer(nil, parsed(t, relayQuery("::", "r"), nil))
	if want := failure(notAllowed, "QUERY_BY_RELAY_ID needs TCP"); err != nil || !bytes.Equal(out, want) {
		t.Errorf("refusal %x, %v, want %x", out, err, want)
	}
	batch.Close()
}

func TestBatchRefuses(t *testing.T) {
	registry := prometheus.NewRegistry()
	batch := leasequery.New(leasequery.Config{Metrics: leasequery.NewMetrics(registry)}, newWorld(nil)).NewBatch()
	if err := batch.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	out, err := batch.Refuse(nil, parsed(t, addressQuery("::", "2001:db8::1"), nil), dhcpv6.StatusNotConfigured, "no")
	if want := failure(notConfigured, "no"); err != nil || !bytes.Equal(out, want) {
		t.Errorf("refusal %x, %v, want %x", out, err, want)
	}
	if out, err := batch.Refuse(nil, parsed(t, query(), nil), dhcpv6.StatusNotConfigured, "no"); !errors.Is(err, leasequery.ErrDiscard) || len(out) != 0 {
		t.Errorf("without LQ_QUERY: %x, %v", out, err)
	}
	batch.Close()
	batch.Close()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := 0.0
	for _, f := range families {
		if f.GetName() == leasequery.MetricQueries {
			counted += f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if counted != 1 {
		t.Errorf("%v queries counted, want 1", counted)
	}
}

// TestBatchAllocatesNothing: from the second query on, by address and by client-id, with options and relay data, on a link or on
// all, to a restricted requestor with sensitive options of its own.
func TestBatchAllocatesNothing(t *testing.T) {
	s := benchStore(t)
	r := &leasequery.Requestor{Restricted: &leasequery.Restriction{}, Sensitive: []dhcpv6.OptionCode{optSubscriberID}}
	var requests []leasequery.Request
	for _, q := range [][]byte{
		addressQuery("::", "2001:db8:1::5", oro(optRelayData, optFQDN)), addressQuery("2001:db8:ffff::1", "2001:db8:8000:51::1"),
		clientQuery("::", "client00000003", oro(optRelayData)), clientQuery("2001:db8:ffff::1", "client00000004"), clientQuery("::", "nobody"),
	} {
		requests = append(requests, parsed(t, q, nil), parsed(t, q, r))
	}
	batch := leasequery.New(leasequery.Config{Sensitive: []dhcpv6.OptionCode{optRemoteID}}, s).NewBatch()
	if err := batch.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	buf := make([]byte, 0, 64<<10)
	for i, r := range requests {
		var err error
		n := testing.AllocsPerRun(100, func() {
			if buf, err = batch.Answer(buf[:0], r); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("query %d: %v allocations", i, n)
		}
	}
}

// benchStore is the crowd of the benchmarks in the real store.
func benchStore(t testing.TB) stored {
	t.Helper()
	v, err := crowd(1000).State.View(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Release()
	changes := []binding.Change{{Event: binding.DefineLink, Link: &binding.Link{Label: "net", Names: []string{"net"},
		Prefixes: prefixes("2001:db8::/32"), Relays: addrs("2001:db8:ffff::1")}}}
	var c binding.Client
	for cur := v.Select(binding.Query{By: binding.ByEverything}); cur.Next(&c); {
		for _, e := range c.Entries {
			changes = append(changes, binding.Change{Event: binding.Upsert, Binding: binding.Binding{Kind: e.Kind, Prefix: e.Prefix,
				DUID: bytes.Clone(c.DUID), IAID: e.IAID, Preferred: e.Preferred, Valid: e.Valid, LastTransaction: e.LastTransaction,
				LinkName: []byte("net"), Chain: bytes.Clone(e.Chain), Options: opt(optFQDN, []byte("\x00\x01v\x00"))}})
		}
	}
	for i := range changes {
		if err := changes[i].Validate(); err != nil {
			t.Fatal(err)
		}
	}
	s := stored{store.New(), now}
	s.Apply(store.Batch{Index: 1, Clock: now, Source: "kea", Changes: changes})
	return s
}

// BenchmarkBatch is one answer over UDP from the real store.
func BenchmarkBatch(b *testing.B) {
	s := benchStore(b)
	batch := leasequery.New(leasequery.Config{}, s).NewBatch()
	if err := batch.Open(context.Background()); err != nil {
		b.Fatal(err)
	}
	defer batch.Close()
	buf := make([]byte, 0, 64<<10)
	for name, q := range map[string][]byte{"address": addressQuery("::", "2001:db8:1::5"), "client-id": clientQuery("::", "client00000003")} {
		b.Run(name, func(b *testing.B) {
			r := parsed(b, q, nil)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := batch.Answer(buf[:0], r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
