package upstream

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/fsm/binding"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// held is a binding in the model.
type held struct {
	duid             string
	valid, preferred uint32
	last             int64 // milliseconds since 1970 by this machine's clock
	stamp            uint32
	link, relays     string
	options          string
	statement        int
}

// model is a feed.Sink that does what a cluster does with the news of its only source.
type model struct {
	t       testing.TB
	mu      sync.Mutex
	taken   time.Time
	open    bool
	number  int // of the statement
	links   map[string]int
	sweeps  bool // links too
	held    map[place]held
	lines   []string // what was stated, in short
	news    int      // changes that changed something
	refused error    // what Change answers, if anything
	moved   chan struct{}
}

var _ feed.Sink = (*model)(nil)

func newModel(t testing.TB) *model {
	return &model{t: t, links: map[string]int{}, held: map[place]held{}, moved: make(chan struct{})}
}

// note tells whoever waits. The caller holds mu.
func (m *model) note(format string, args ...any) {
	m.lines = append(m.lines, fmt.Sprintf(format, args...))
	close(m.moved)
	m.moved = make(chan struct{})
}

// until waits until the condition holds, which is asked with mu held, after each thing that was stated.
func (m *model) until(ctx context.Context, what string, condition func() bool) {
	m.t.Helper()
	for {
		m.mu.Lock()
		ok, moved := condition(), m.moved
		m.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			m.mu.Lock()
			defer m.mu.Unlock()
			m.t.Fatalf("wait until %s: %v; stated: %q", what, ctx.Err(), m.lines)
		}
	}
}

func (m *model) Expect(int64) {}

func (m *model) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.open {
		m.taken, m.open = time.Now(), true
	}
	return m.taken
}

func (m *model) Flush(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = false
	return ctx.Err()
}

func (m *model) Receipt(ctx context.Context) (<-chan struct{}, error) {
	c := make(chan struct{})
	close(c)
	return c, m.Flush(ctx)
}

func (m *model) BeginResync(ctx context.Context, links bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.number, m.sweeps = m.number+1, links
	m.note("begin")
	return ctx.Err()
}

func (m *model) EndResync(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, h := range m.held {
		if h.statement != m.number {
			delete(m.held, p)
			m.news++
		}
	}
	for l, n := range m.links {
		if m.sweeps && n != m.number {
			delete(m.links, l)
		}
	}
	m.note("end")
	return ctx.Err()
}

func (m *model) Change(ctx context.Context, c *ingestv1.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refused != nil {
		return m.refused
	}
	switch {
	case c.GetUpsert() != nil:
		m.upsert(c.GetUpsert())
	case c.GetEnd() != nil:
		m.end(c.GetEnd())
	case c.GetDefineLink() != nil:
		m.links[c.GetDefineLink().GetLabel()] = m.number
	}
	return ctx.Err()
}

func (m *model) upsert(l *ingestv1.Lease) {
	requireStorable(m.t, l)
	p := placeOf(netip.PrefixFrom(netip.AddrFrom16([16]byte(l.GetAddress())), int(l.GetPrefixLength())), l.GetKind() == ingestv1.Kind_KIND_PD)
	h := held{
		duid: string(l.GetDuid()), valid: l.GetValid(), preferred: l.GetPreferred(), last: m.taken.UnixMilli() - l.GetAgeMs(), stamp: l.GetStamp(),
		link: l.GetLinkName(), options: fmt.Sprintf("%x", l.GetOptions()),
	}
	if len(l.GetRelays()) > 0 {
		h.relays = fmt.Sprintf("from %v", ip(l.GetRelaySender()))
	}
	for _, r := range l.GetRelays() {
		h.relays += fmt.Sprintf(", %d %v %v %x", r.GetHopCount(), ip(r.GetLinkAddress()), ip(r.GetPeerAddress()), r.GetOptions())
	}
	old := m.held[p]
	was := old.statement
	old.statement, old.last = 0, h.last
	if old != h {
		m.news++
	} else if was > 0 {
		h.last = m.held[p].last // the cluster keeps the time of a transaction that it knows
	}
	h.statement = m.number
	m.held[p] = h
	m.note("%v is %s's: %d/%d at %d on %q", p.prefix(), h.duid, h.preferred, h.valid, h.stamp, h.link)
}

func (m *model) end(e *ingestv1.End) {
	p := placeOf(netip.PrefixFrom(netip.AddrFrom16([16]byte(e.GetAddress())), int(e.GetPrefixLength())), e.GetKind() == ingestv1.Kind_KIND_PD)
	if h, ok := m.held[p]; ok && h.duid == string(e.GetDuid()) {
		delete(m.held, p)
		m.news++
	}
	m.note("%v is not %s's: %v", p.prefix(), e.GetDuid(), e.GetReason())
}

func ip(octets []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(octets)
	return a
}

// requireStorable holds a lease against the rules that the cluster applies.
func requireStorable(t testing.TB, l *ingestv1.Lease) {
	t.Helper()
	var levels []binding.Level
	octets := 16
	for _, r := range l.GetRelays() {
		levels = append(levels, binding.Level{HopCount: uint8(r.GetHopCount()), Link: ip(r.GetLinkAddress()), Peer: ip(r.GetPeerAddress()), Options: r.GetOptions()})
		octets += 35 + len(r.GetOptions())
	}
	b := binding.Change{Event: binding.Upsert, Binding: binding.Binding{
		Kind: binding.Kind(l.GetKind()), Prefix: netip.PrefixFrom(ip(l.GetAddress()), int(l.GetPrefixLength())), DUID: l.GetDuid(), IAID: l.GetIaid(),
		Preferred: l.GetPreferred(), Valid: l.GetValid(), LinkName: []byte(l.GetLinkName()), Options: l.GetOptions(),
	}}
	if octets <= binding.MaxChain { // a longer one the cluster leaves out
		b.Binding.Chain = binding.AppendChain(nil, ip(l.GetRelaySender()), levels)
	}
	if err := b.Validate(); err != nil {
		t.Errorf("a lease that may not be stored: %v\n%v", err, l)
	}
}
