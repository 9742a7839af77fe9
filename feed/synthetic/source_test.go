package synthetic

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/leasehold/leasehold/fsm/binding"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a feed.Sink that keeps copies.
type recorder struct {
	now    time.Time
	steps  []string
	leases []*ingestv1.Lease
	links  []*ingestv1.Link
	expect int64
}

func (r *recorder) Expect(n int64) { r.expect = n }
func (r *recorder) Now() time.Time { return r.now }

// Receipt is of nobody: what is recorded is as good as acknowledged.
func (r *recorder) Receipt(context.Context) (<-chan struct{}, error) {
	c := make(chan struct{})
	close(c)
	return c, nil
}

func (r *recorder) Flush(context.Context) error     { return nil }
func (r *recorder) EndResync(context.Context) error { r.steps = append(r.steps, "end"); return nil }
func (r *recorder) BeginResync(context.Context, bool) error {
	r.steps = append(r.steps, "begin")
	return nil
}

func (r *recorder) Change(_ context.Context, c *ingestv1.Change) error {
	c = proto.Clone(c).(*ingestv1.Change)
	if l := c.GetUpsert(); l != nil {
		r.leases = append(r.leases, l)
	}
	if l := c.GetDefineLink(); l != nil {
		r.links = append(r.links, l)
	}
	return nil
}

func run(t *testing.T, config Config) (*Source, *recorder) {
	t.Helper()
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{now: time.Now()}
	if err := s.Run(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return s, r
}

func TestLeasesAreStorableAndDistinct(t *testing.T) {
	s, r := run(t, Config{Leases: 10_001, Relays: 3, Seed: 7, Links: true})
	if len(r.leases) != 10_001 || r.expect != 10_001 || len(r.links) != 3 || len(r.steps) != 2 || s.Clients() != 5001 {
		t.Fatalf("%d leases, %d expected, %d links, steps %v, %d clients", len(r.leases), r.expect, len(r.links), r.steps, s.Clients())
	}
	keys, duids, lengths := map[string]bool{}, map[string]bool{}, map[int]bool{}
	for i, l := range r.leases {
		a, _ := netip.AddrFromSlice(l.GetAddress())
		prefix := netip.PrefixFrom(a, int(l.GetPrefixLength()))
		level := l.GetRelays()[0]
		link, _ := netip.AddrFromSlice(level.GetLinkAddress())
		peer, _ := netip.AddrFromSlice(level.GetPeerAddress())
		c := binding.Change{Event: binding.Upsert, Binding: binding.Binding{
			Kind: binding.Kind(l.GetKind()), Prefix: prefix, DUID: l.GetDuid(), Valid: l.GetValid(), LinkName: []byte(l.GetLinkName()),
			Chain: binding.AppendChain(nil, netip.Addr{}, []binding.Level{{Link: link, Peer: peer, Options: level.GetOptions()}}),
		}}
		if err := c.Validate(); err != nil {
			t.Fatalf("lease %d: %v", i, err)
		}
		if keys[prefix.String()] {
			t.Fatalf("%v is leased twice", prefix)
		}
		keys[prefix.String()], duids[string(l.GetDuid())], lengths[len(l.GetDuid())] = true, true, true
		client := s.Client(i / 2)
		relay := s.Relay(client.Relay)
		want := client.Prefix
		if i%2 == 0 {
			want = netip.PrefixFrom(client.Address, 128)
			if !relay.Prefix.Contains(client.Address) {
				t.Fatalf("%v is not on its link %v", client.Address, relay.Prefix)
			}
		}
		if prefix != want || !bytes.Equal(l.GetDuid(), client.DUID) || l.GetIaid() != client.IAID || link != relay.Link || peer != client.Peer ||
			!c.Binding.Chain.HasRelayID(relay.ID) || !c.Binding.Chain.HasRemoteID(client.RemoteID) {
			t.Fatalf("lease %d is not of client %+v: %v", i, client, l)
		}
		if age := l.GetAgeMs(); age < -1000 || age > 1800*1000+2000 {
			t.Fatalf("lease %d has an age of %d ms", i, age)
		}
	}
	if len(duids) != s.Clients() || len(lengths) != 4 {
		t.Errorf("%d DUIDs of %d clients, of %d lengths", len(duids), s.Clients(), len(lengths))
	}
}

func TestSameEachTime(t *testing.T) {
	first, err := New(Config{Leases: 100, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	second, err := New(Config{Leases: 50, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	other, err := New(Config{Leases: 100, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	differ := 0
	for i := range first.Clients() {
		a, b := first.Client(i), second.Client(i)
		if !bytes.Equal(a.DUID, b.DUID) || a.IAID != b.IAID || a.Address != b.Address || a.Prefix != b.Prefix {
			t.Fatalf("client %d is %+v and %+v", i, a, b)
		}
		if a.IAID != other.Client(i).IAID {
			differ++
		}
	}
	if differ < 40 {
		t.Errorf("another seed changes only %d clients", differ)
	}
}

func TestBadConfig(t *testing.T) {
	for _, c := range []Config{{Leases: -1}, {Relays: -1}} {
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
