package upstream

import (
	"errors"
	"hash/maphash"
	"math"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
)

// By how many seconds what is told of one and the same transaction may differ, because each time is rounded to seconds somewhere. Two
// transactions that are no farther apart cannot be told from one.
const (
	baseJitter    = 1 // where times count from a base time
	arrivalJitter = 2 // where they count from when a message came
)

// errFull says that the server has more bindings than may be known.
var errFull = errors.New("the server tells of more bindings than may be known")

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

// lease is when a binding was granted, and for how long: seconds, on the server's clock if it has told it, since 1970.
type lease struct {
	last      int64 // the client's last transaction
	valid     uint32
	preferred uint32 // 0: over when it was told of
}

// ends is when the valid lifetime has run out.
func (l lease) ends() int64 { return l.end(l.valid) }

func (l lease) end(lifetime uint32) int64 {
	if lifetime == binding.Infinity {
		return math.MaxInt64
	}
	return l.last + int64(lifetime)
}

// sameEnds tells whether news, told at the second now, says of both lifetimes that they end when l says.
func (l lease) sameEnds(news lease, now, jitter int64) bool {
	if !near(l.ends(), news.ends(), jitter) {
		return false
	}
	if news.preferred == 0 {
		return l.preferred == 0 || l.end(l.preferred) <= now+jitter
	}
	return l.preferred != 0 && near(l.end(l.preferred), news.end(news.preferred), jitter)
}

// revived tells whether news has the preferred lifetime of one and the same transaction end later than l does: some servers (Kea) tell
// all of it again when it is over.
func (l lease) revived(news lease, jitter int64) bool {
	if news.preferred == 0 || news.preferred == binding.Infinity || !near(l.last, news.last, jitter) || !near(l.ends(), news.ends(), jitter) {
		return false
	}
	return l.preferred == 0 || news.end(news.preferred) > l.end(l.preferred)+jitter
}

func near(a, b, jitter int64) bool { return a <= b && b-a <= jitter || a > b && a-b <= jitter }

// entry is what is known of a binding.
type entry struct {
	lease
	holders   uint64 // queries whose subscriptions hold it, a bit each; without subscriptions it means nothing
	client    uint64 // a hash of the DUID
	statement uint32 // that it was last stated in
	link      int16  // number of its link, or noLink
	teller    int16  // number of the query that last stated it
}

// table is every binding of the server that was stated and has not ended. It makes the same of the same news, whoever tells it and however
// its times are rounded, so that what has not changed does not look changed to the cluster.
type table struct {
	limit   int
	seed    maphash.Seed
	entries map[place]entry
}

func newTable(limit int) *table {
	return &table{limit: limit, seed: maphash.MakeSeed(), entries: map[place]entry{}}
}

func (t *table) client(duid []byte) uint64 { return maphash.Bytes(t.seed, duid) }

// put notes an entry; the error is errFull.
func (t *table) put(p place, e entry) error {
	if _, known := t.entries[p]; !known && len(t.entries) >= t.limit {
		return errFull
	}
	t.entries[p] = e
	return nil
}

// expire forgets what had run out by a second of the server's clock: the cluster has ended it by itself.
func (t *table) expire(by int64) {
	for p, e := range t.entries {
		if e.ends() < by {
			delete(t.entries, p)
		}
	}
}

// sweep forgets what a statement did not state.
func (t *table) sweep(statement uint32) {
	for p, e := range t.entries {
		if e.statement != statement {
			delete(t.entries, p)
		}
	}
}
