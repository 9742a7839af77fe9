package kea

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// clusterSink is a feed.Sink that keeps what a cluster would: the source's own order is the truth, an end must match the client, and the
// end of a resync sweeps what was not stated since its begin.
type clusterSink struct {
	now func() time.Time

	mu       sync.Mutex
	leases   map[netip.Prefix]*ingestv1.Lease
	ends     []*ingestv1.End
	links    map[string]bool
	marked   map[netip.Prefix]bool // nil: no resync
	resyncs  int
	changes  int
	away     bool // receipts are not given
	receipts []chan struct{}
	news     chan struct{} // closed and replaced whenever something was stated
}

func newClusterSink(now func() time.Time) *clusterSink {
	return &clusterSink{now: now, leases: map[netip.Prefix]*ingestv1.Lease{}, links: map[string]bool{}, news: make(chan struct{})}
}

// next is a sink of the same cluster for the next epoch.
func (c *clusterSink) Expect(int64)                {}
func (c *clusterSink) Now() time.Time              { return c.now() }
func (c *clusterSink) Flush(context.Context) error { return nil }

func (c *clusterSink) told() {
	close(c.news)
	c.news = make(chan struct{})
}

func (c *clusterSink) BeginResync(context.Context, bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marked = map[netip.Prefix]bool{}
	return nil
}

func (c *clusterSink) EndResync(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.leases {
		if !c.marked[k] {
			delete(c.leases, k)
		}
	}
	c.marked = nil
	c.resyncs++
	c.told()
	return nil
}

func prefixOf(address []byte, bits uint32) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte(address)), int(bits))
}

func (c *clusterSink) Change(ctx context.Context, m *ingestv1.Change) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	m = proto.Clone(m).(*ingestv1.Change)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	switch m := m.GetChange().(type) {
	case *ingestv1.Change_Upsert:
		k := prefixOf(m.Upsert.GetAddress(), m.Upsert.GetPrefixLength())
		c.leases[k] = m.Upsert
		if c.marked != nil {
			c.marked[k] = true
		}
	case *ingestv1.Change_End:
		k := prefixOf(m.End.GetAddress(), m.End.GetPrefixLength())
		c.ends = append(c.ends, m.End)
		if l := c.leases[k]; l != nil && (len(m.End.GetDuid()) == 0 || (string(l.GetDuid()) == string(m.End.GetDuid()) && l.GetIaid() == m.End.GetIaid())) {
			delete(c.leases, k)
		}
	case *ingestv1.Change_DefineLink:
		c.links[m.DefineLink.GetLabel()] = true
	}
	c.told()
	return nil
}

func (c *clusterSink) Receipt(context.Context) (<-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := make(chan struct{})
	if c.away {
		c.receipts = append(c.receipts, r)
	} else {
		close(r)
	}
	return r, nil
}

// comesBack gives all receipts, or says that none are given from now on.
func (c *clusterSink) comesBack(back bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = !back
	if back {
		for _, r := range c.receipts {
			close(r)
		}
		c.receipts = nil
	}
}

// loses forgets the receipts, as when an epoch is lost.
func (c *clusterSink) loses() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.receipts, c.marked = nil, nil
}

// has waits until a condition holds.
func (c *clusterSink) has(ctx context.Context, condition func() bool) error {
	for {
		c.mu.Lock()
		ok, news := condition(), c.news
		c.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
