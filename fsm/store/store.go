package store

import (
	"sync"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/link"
)

// Store is the replicated set of bindings. One goroutine writes; View may be called from any.
type Store struct {
	mu sync.Mutex // held by a write from begin to end, and for a moment by View

	hash   hasher
	epochs epochs

	clients   *tree     // the records
	places    *tree     // where bindings' addresses and relays lead to: see census
	addresses *pairTree // by address and length; a bag: one pair an entry, in force or ended
	duids     *pairTree // by client DUID; the third word of the pairs is 0
	relays    *pairTree // by relay-id
	remotes   *pairTree // by remote-id

	crowd   int     // from how many entries on an address is crowded
	crowded holders // by hash of the address

	links   *link.Table
	sources []*source // by number, from 1
	byName  map[string]*source
	census  census
	sums    sums

	index        uint64
	clock        binding.Time
	mark         uint64 // of the newest change
	marks        marks
	linksBefore  uint64 // what the store that this one took the place of counted as changes of links
	history      binding.Time
	historySince binding.Time
	keepLast     bool // see KeepLastTransaction
	revive       bool // see ReviveSwept
	disputes     disputes
	forgotten    uint64 // the mark of the newest end that was forgotten here, if historySince comes from it

	current *state // the newest pinned state, if nothing was written since

	encoder encoder
	entries []entry
	ids     idHashes
	touched touches
}

// sums counts entries.
type sums struct {
	live      uint64
	ended     uint64
	temporary uint64      // entries of kind TA, in force or ended
	delegated [129]uint64 // delegated prefixes in force, by length
}

// defaultHistory is how long ends and the order of changes are kept unless SetHistory says otherwise.
const defaultHistory = 600 * time.Second

// New is an empty store.
func New() *Store { return newStore(hasher{}) }

func newStore(h hasher) *Store {
	s := &Store{hash: h, epochs: newEpochs(), links: link.New(), byName: map[string]*source{}, census: newCensus(), crowd: crowd, crowded: holders{},
		disputes: disputes{limit: maxDisputes}}
	e := &s.epochs
	s.clients, s.places = newTree(e), newTree(e)
	s.addresses, s.duids, s.relays, s.remotes = newPairTree(e), newPairTree(e), newPairTree(e), newPairTree(e)
	s.setHistory(binding.Time(defaultHistory.Milliseconds()))
	return s
}

// Batch is the changes of one source in one entry of the log. Nothing in it is kept after Apply.
type Batch struct {
	Index   uint64       // of the log entry
	Clock   binding.Time // the closed time after the entry
	Source  string
	Changes []binding.Change
}

// Counts tells what a write did.
type Counts struct {
	Changed   uint64 // changes that took effect
	Unchanged uint64 // changes that told nothing new
	Ignored   uint64 // changes that lost against what was known, or did not match it
	Swept     uint64 // bindings that a full resync no longer had
	Expired   uint64 // bindings whose valid lifetime had run out
	Pruned    uint64 // ends forgotten
}

// Add adds d to c.
func (c *Counts) Add(d Counts) {
	c.Changed += d.Changed
	c.Unchanged += d.Unchanged
	c.Ignored += d.Ignored
	c.Swept += d.Swept
	c.Expired += d.Expired
	c.Pruned += d.Pruned
}

// begin starts a write: no view is taken until the end of it.
func (s *Store) begin(index uint64, clock binding.Time) {
	s.mu.Lock()
	s.epochs.collect()
	s.current = nil
	s.index = max(s.index, index)
	s.clock = max(s.clock, clock)
}

// Advance applies an entry of the log that changed no binding.
func (s *Store) Advance(index uint64, clock binding.Time) {
	s.begin(index, clock)
	s.mu.Unlock()
}

// SetHistory sets for how long ends of bindings are kept for active leasequery. It is a setting of the cluster, applied by
// an entry of the log.
func (s *Store) SetHistory(window time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := binding.Time(max(window, 0).Milliseconds()); h != s.history {
		s.epochs.collect()
		s.current = nil
		s.setHistory(h)
	}
}

func (s *Store) setHistory(h binding.Time) {
	shorter := h < s.history
	s.history, s.clients.history = h, h
	if shorter {
		s.clients.retime()
	}
}

// Len is the number of bindings in force. Like all methods but View it belongs to the writer.
func (s *Store) Len() uint64 { return s.sums.live }
