package requestor

import (
	"cmp"
	"errors"
	"hash/maphash"
	"math"
	"net/netip"
	"slices"
	"sync"
)

// Forever is the end of what never ends.
const Forever = math.MaxInt64

// infinite is the lifetime that never ends (RFC 8415 7.7).
const infinite = math.MaxUint32

// ErrTableFull says that a server tells of more bindings than a Replica may hold.
var ErrTableFull = errors.New("more bindings than the table may hold")

// Holding is a binding as a Replica knows it. Times are seconds since 2000-01-01T00:00:00Z in the server's time.
type Holding struct {
	Prefix          netip.Prefix // an address has all of its 128 bits
	Delegated       bool         // whether it is a delegated prefix rather than an address
	DUID            string       // who has it: the octets
	ValidUntil      int64        // Forever if it never ends
	PreferredUntil  int64        // Forever if it never ends; 0 if it had ended when the binding was told of
	LastTransaction int64
}

// place is what a binding is known by.
type place struct {
	address   [16]byte
	bits      uint8
	delegated bool
}

func placeOf(p netip.Prefix, delegated bool) place {
	return place{p.Addr().As16(), uint8(p.Bits()), delegated}
}

func (p place) prefix() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16(p.address), int(p.bits))
}

func comparePlaces(a, b place) int {
	switch {
	case a.delegated != b.delegated && b.delegated:
		return -1
	case a.delegated != b.delegated:
		return 1
	}
	return cmp.Or(slices.Compare(a.address[:], b.address[:]), cmp.Compare(a.bits, b.bits))
}

// word is the last that was said of a binding.
type word struct {
	duid      string
	valid     int64
	preferred int64
	last      int64 // transaction
	base      uint32
	about     uint64 // a hash of the client's options and relay chain
	gap       uint32 // in which it was said
	live      bool   // said by the subscription rather than by a bulk query
	ended     bool   // kept while a gap is open only
}

// Replica is a table of the bindings that a subscription has told of: the newest word on each, by address or prefix. Watch fills one;
// another may be filled by Apply from Watch's events. It may be used by several goroutines.
type Replica struct {
	mu    sync.Mutex
	limit int
	words map[place]word
	seed  maphash.Seed
	base  baseTime
	gap   uint32 // how many times data was missing
	open  bool   // it is, and not recovered yet
}

// NewReplica makes an empty table of at most limit bindings; 0 is DefaultMaxBindings.
func NewReplica(limit int) *Replica {
	return &Replica{limit: orDefault(limit, DefaultMaxBindings), words: map[place]word{}, seed: maphash.MakeSeed()}
}

// Base is the base time of the newest message of the subscription, if there was one.
func (r *Replica) Base() (base uint32, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.base.seconds, r.base.known
}

// Holdings is every binding that has not ended as far as was told: addresses first, each in order. Those whose ValidUntil has passed are
// among them until the server says that they have ended.
func (r *Replica) Holdings() []Holding {
	r.mu.Lock()
	defer r.mu.Unlock()
	places := make([]place, 0, len(r.words))
	for p, w := range r.words {
		if !w.ended {
			places = append(places, p)
		}
	}
	slices.SortFunc(places, comparePlaces)
	out := make([]Holding, len(places))
	for i, p := range places {
		w := r.words[p]
		out[i] = Holding{
			Prefix: p.prefix(), Delegated: p.delegated, DUID: w.duid,
			ValidUntil: w.valid, PreferredUntil: w.preferred, LastTransaction: w.last,
		}
	}
	return out
}

// Apply takes what an event of Watch tells; all of them may be given to it. The error is ErrTableFull; what went before it in the event is kept.
func (r *Replica) Apply(e *Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.HasBaseTime && !e.Recovered && e.Kind != EventTerminated { // a message of the subscription
		r.base = baseTime{e.BaseTime, true}
	}
	if e.Client == nil {
		return nil
	}
	return r.hear(e.Client)
}

// hear takes a message of the subscription.
func (r *Replica) hear(c *Client) error {
	base, about := r.baseOf(c), c.about(r.seed)
	for p, w := range c.words(base) {
		w.gap, w.live, w.about = r.gap, true, about
		old, known := r.words[p]
		switch {
		case w.ended && known && !old.ended && old.duid != w.duid:
			// Somebody else has it by now: the end came late, or was told early.
		case w.ended && !r.open:
			delete(r.words, p)
		default: // an end is kept while a gap is open, so that an older bulk answer cannot bring the binding back
			if err := r.put(p, w, known, old.duid); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Replica) put(p place, w word, known bool, duid string) error {
	if !known && len(r.words) >= r.limit {
		return ErrTableFull
	}
	if known && duid == w.duid {
		w.duid = duid // the same octets once
	}
	r.words[p] = w
	return nil
}

// baseOf is the base time that a client's times count from.
func (r *Replica) baseOf(c *Client) uint32 {
	if c.HasBaseTime {
		return c.BaseTime
	}
	return r.base.seconds
}
