package active

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// What bounds how often subscriptions look.
const (
	// pace is the least time between two wakes. The first change after a quiet time wakes at once; of a stream of them each wake brings
	// what came since the last one. Without it a hundred subscribers at 5,000 changes a second would be half a million looks and writes.
	pace = 2 * time.Millisecond
	// lookEvery is how often they look without a change: a subscription ends when the node can no longer prove that it is up to date, and
	// sees that by looking.
	lookEvery = time.Second
)

// Why there is no place for a subscription.
const (
	RefusedLimit     = "limit"
	RefusedRequestor = "requestor-limit"
)

// Member is who has a subscription.
type Member interface {
	// Wake says that there may be news. It must not block.
	Wake()
}

// Share counts the subscriptions of one requestor. The zero Share has none.
type Share struct{ taken int } // guarded by Hub.mu

// Hub wakes the subscriptions of one server, and counts them. Make one with NewHub. Any number of goroutines may use it.
type Hub struct {
	config  Config
	changed func() <-chan struct{}
	metrics *Metrics
	joined  chan struct{} // one token: there is a member, perhaps the first
	turns   chan struct{} // a token for each member that is at work on what lies far behind

	mu      sync.Mutex
	members map[Member]struct{}
}

// NewHub makes a hub. changed gives a channel that is closed when the next change has been applied: binding.Feed's. Nil metrics are
// counted for nobody.
func NewHub(config Config, changed func() <-chan struct{}, metrics *Metrics) *Hub {
	if metrics == nil {
		metrics = NewMetrics(nil)
	}
	return &Hub{
		config: config.WithDefaults(), changed: changed, metrics: metrics,
		joined: make(chan struct{}, 1), members: make(map[Member]struct{}),
		turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
}

// Join gives m a place, of those of its requestor too, whose limit is the server's if it is 0; or it tells why there is none. A member
// that has joined looks for news by itself once; then it is woken.
func (h *Hub) Join(m Member, s *Share, limit int) (why string) {
	if limit <= 0 {
		limit = h.config.MaxSubscriptionsPerRequestor
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case len(h.members) >= h.config.MaxSubscriptions:
		return RefusedLimit
	case s.taken >= limit:
		return RefusedRequestor
	}
	h.members[m] = struct{}{}
	s.taken++
	h.metrics.subscriptions.Inc()
	select {
	case h.joined <- struct{}{}:
	default:
	}
	return ""
}

// Leave gives the place back that m had by Join.
func (h *Hub) Leave(m Member, s *Share) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.members[m]; ok {
		delete(h.members, m)
		s.taken--
		h.metrics.subscriptions.Dec()
	}
}

// Begin waits for a turn, in the order of those who ask, and is false when ctx ends before. It is for members that have much to look
// through: only half of the processors do that at a time. A hundred that come at once after a failure would otherwise keep a node from
// proving that it is up to date, lose their subscriptions by it, and come again. End gives the turn back.
func (h *Hub) Begin(ctx context.Context) bool {
	select {
	case h.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// End is the counterpart of Begin.
func (h *Hub) End() { <-h.turns }

// Run wakes members until ctx ends. While there are none it waits for the first.
func (h *Hub) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.joined:
		}
		if !h.follow(ctx) {
			return
		}
	}
}

// follow wakes members until there is none, or ctx has ended: then it is false.
func (h *Hub) follow(ctx context.Context) bool {
	paced := time.NewTimer(pace)
	defer paced.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		changed := h.changed() // before they look: what is applied from now on closes it
		if h.wake() == 0 {
			return true
		}
		paced.Reset(pace)
		select {
		case <-paced.C:
		case <-ctx.Done():
			return false
		}
		select {
		case <-changed:
		case <-look.C:
		case <-ctx.Done():
			return false
		}
	}
}

// wake wakes every member, and tells how many there are.
func (h *Hub) wake() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	for m := range h.members {
		m.Wake()
	}
	return len(h.members)
}
