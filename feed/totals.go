package feed

import (
	"sync"
	"time"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// Totals is what an Agent has done so far.
type Totals struct {
	Leases  uint64 // leases acknowledged, in the present epoch
	Ends    uint64 // ends of leases acknowledged, in the present epoch
	Links   uint64 // definitions and removals of links acknowledged, in the present epoch
	Resyncs uint64 // ends of resyncs acknowledged, since Run began
	Refused uint64 // changes that could not be sent, or that the cluster refused

	Batches  uint64 // batches sent, those sent again included
	Octets   uint64 // octets of these
	Sessions uint64 // streams that a node welcomed
	Epochs   uint64 // times that the source was asked to begin; above 1 the cluster had lost the session
	Rewinds  uint64 // times that a node asked to send again

	Counts   Counts        // what the acknowledgements said that the changes came to
	Index    uint64        // log index of the newest acknowledgement
	Duration time.Duration // since Run began; when Run has ended: until then
}

// Counts is what changes came to in the cluster, as far as its acknowledgements arrived: what was acknowledged by the welcome of a
// resumed session is not in it.
type Counts struct {
	Changed   uint64 // stored or ended
	Unchanged uint64 // equal to what was stored
	Ignored   uint64 // older than what another source had said, or an end that matched nothing
	Swept     uint64 // removed by the end of a resync
}

// Rate is the leases acknowledged a second.
func (t Totals) Rate() float64 {
	if t.Duration <= 0 {
		return 0
	}
	return float64(t.Leases) / t.Duration.Seconds()
}

// ledger keeps Totals for several goroutines.
type ledger struct {
	mu      sync.Mutex
	totals  Totals
	started time.Time
	ended   time.Time
}

func (l *ledger) add(f func(t *Totals)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.totals)
}

// acknowledge books what was acknowledged.
func (l *ledger) acknowledge(t tally, ack *ingestv1.Ack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.Leases += uint64(t.leases)
	l.totals.Ends += uint64(t.ends)
	l.totals.Links += uint64(t.links)
	l.totals.Resyncs += uint64(t.resyncs)
	l.totals.Index = max(l.totals.Index, ack.GetIndex())
	c := ack.GetCounts()
	l.totals.Counts.Changed += c.GetChanged()
	l.totals.Counts.Unchanged += c.GetUnchanged()
	l.totals.Counts.Ignored += c.GetIgnored()
	l.totals.Counts.Swept += c.GetSwept()
}

func (l *ledger) start(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals, l.started, l.ended = Totals{}, now, time.Time{}
}

func (l *ledger) end(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = now
}

func (l *ledger) read(now time.Time) Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.totals
	switch {
	case l.started.IsZero():
	case l.ended.IsZero():
		t.Duration = now.Sub(l.started)
	default:
		t.Duration = l.ended.Sub(l.started)
	}
	return t
}
