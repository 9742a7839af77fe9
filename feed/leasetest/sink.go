package leasetest

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// Lease is a lease that a Sink keeps, with its times as they are on this machine.
type Lease struct {
	*ingestv1.Lease
	Transaction time.Time
}

// Sink is a feed.Sink that keeps the set of leases that follows from what it is told: by address or prefix, ends only of the client
// that they name, and at the end of a resync only what was stated since its begin.
type Sink struct {
	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	leases  map[netip.Prefix]Lease
	links   []*ingestv1.Link
	ends    []*ingestv1.End
	stated  map[netip.Prefix]bool // since the begin of a resync; nil: there is none
	steps   []string
	resyncs int
	now     time.Time
}

// NewSink makes an empty sink. now is what its Now says; the zero time: the clock's.
func NewSink(now time.Time) *Sink {
	return &Sink{changed: make(chan struct{}), leases: map[netip.Prefix]Lease{}, now: now}
}

// Expect is nothing to it.
func (s *Sink) Expect(int64) {}

// Now is the clock's, or what NewSink was given.
func (s *Sink) Now() time.Time {
	if s.now.IsZero() {
		return time.Now()
	}
	return s.now
}

// Flush has nothing to do.
func (s *Sink) Flush(context.Context) error { return nil }

// Receipt is closed: what is kept is as good as acknowledged.
func (s *Sink) Receipt(context.Context) (<-chan struct{}, error) {
	c := make(chan struct{})
	close(c)
	return c, nil
}

// BeginResync begins a full statement.
func (s *Sink) BeginResync(_ context.Context, links bool) error {
	s.do(func() {
		s.stated = map[netip.Prefix]bool{}
		s.steps = append(s.steps, fmt.Sprintf("begin links=%v", links))
		if links {
			s.links = nil
		}
	})
	return nil
}

// EndResync ends it.
func (s *Sink) EndResync(context.Context) error {
	s.do(func() {
		for key := range s.leases {
			if !s.stated[key] {
				delete(s.leases, key)
			}
		}
		s.stated, s.resyncs = nil, s.resyncs+1
		s.steps = append(s.steps, "end")
	})
	return nil
}

// Change takes one change.
func (s *Sink) Change(_ context.Context, c *ingestv1.Change) error {
	c = proto.Clone(c).(*ingestv1.Change)
	now := s.Now()
	s.do(func() {
		switch c := c.GetChange().(type) {
		case *ingestv1.Change_Upsert:
			l := c.Upsert
			key := prefix(l.GetAddress(), l.GetPrefixLength())
			s.leases[key] = Lease{l, now.Add(-time.Duration(l.GetAgeMs()) * time.Millisecond)}
			if s.stated != nil {
				s.stated[key] = true
			}
			s.steps = append(s.steps, "upsert "+key.String())
		case *ingestv1.Change_End:
			e := c.End
			key := prefix(e.GetAddress(), e.GetPrefixLength())
			if l, ok := s.leases[key]; ok && (len(e.GetDuid()) == 0 || string(e.GetDuid()) == string(l.GetDuid()) && e.GetIaid() == l.GetIaid()) {
				delete(s.leases, key)
			}
			s.ends = append(s.ends, e)
			s.steps = append(s.steps, fmt.Sprintf("%v %v", e.GetReason(), key))
		case *ingestv1.Change_DefineLink:
			s.links = append(s.links, c.DefineLink)
		}
	})
	return nil
}

func prefix(address []byte, length uint32) netip.Prefix {
	a, _ := netip.AddrFromSlice(address)
	return netip.PrefixFrom(a, int(length))
}

func (s *Sink) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Seen is what a Sink has at a moment.
type Seen struct {
	Leases  map[netip.Prefix]Lease
	Links   []*ingestv1.Link
	Ends    []*ingestv1.End // all that came
	Steps   []string        // what came, in words
	Resyncs int             // that ended
}

// Seen is what it has now.
func (s *Sink) Seen() Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen()
}

func (s *Sink) seen() Seen {
	leases := make(map[netip.Prefix]Lease, len(s.leases))
	for key, l := range s.leases {
		leases[key] = l
	}
	return Seen{leases, append([]*ingestv1.Link(nil), s.links...), append([]*ingestv1.End(nil), s.ends...), append([]string(nil), s.steps...), s.resyncs}
}

// Await waits until what it has is so. The error is the end of ctx, and says what it had.
func (s *Sink) Await(ctx context.Context, what string, so func(Seen) bool) error {
	for {
		s.mu.Lock()
		seen, changed := s.seen(), s.changed
		s.mu.Unlock()
		if so(seen) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w; steps: %v", what, ctx.Err(), seen.Steps)
		}
	}
}
