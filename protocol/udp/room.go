package udp

import (
	"net/netip"
	"sync"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/udp/datagram"
)

const (
	// loadQueries and loadOctets bound what is answered together, and what is gathered meanwhile.
	loadQueries = 2048
	loadOctets  = 1 << 20
	// roomPatience is how long the reader waits for room before it throws queries away: meanwhile the socket keeps what comes.
	roomPatience = 100 * time.Millisecond
	// slowView is how long a view may take before its queries count as held.
	slowView = 20 * time.Millisecond
)

// question is a query that is to be answered.
type question struct {
	octets    []byte // the message as it came, relays and all
	inner     int    // where the LEASEQUERY begins and ends in it
	end       int
	from      datagram.Endpoint
	local     netip.Addr
	iface     uint32
	requestor *leasequery.Requestor
	arrived   time.Time
}

// key tells a query from others: a copy of it has the same.
type key struct {
	from datagram.Endpoint
	id   dhcpv6.TransactionID
}

func (q *question) key() key {
	return key{from: q.from, id: dhcpv6.TransactionID(q.octets[q.inner+1 : q.inner+4])}
}

// load is queries that are answered together, in memory that is used again.
type load struct {
	questions []question
	octets    []byte
}

func newLoad() *load {
	return &load{questions: make([]question, 0, loadQueries), octets: make([]byte, 0, loadOctets)}
}

// add copies a question in; false when there is no room.
func (l *load) add(q question) bool {
	if len(l.questions) == cap(l.questions) || len(l.octets)+len(q.octets) > cap(l.octets) {
		return false
	}
	begin := len(l.octets)
	l.octets = append(l.octets, q.octets...)
	q.octets = l.octets[begin:len(l.octets):len(l.octets)]
	l.questions = append(l.questions, q)
	return true
}

func (l *load) empty() { l.questions, l.octets = l.questions[:0], l.octets[:0] }

// room is where the reader of a socket puts queries and the answerer takes them, all at once. It holds two loads: the one that is
// being answered and the one that is being gathered.
type room struct {
	metrics *Metrics
	wake    chan struct{} // something is there, or the reader has ended
	space   chan struct{} // there is room again
	patient *time.Timer   // the reader's

	mu       sync.Mutex
	gathered *load
	taken    *load
	since    time.Time        // when a view for taken was asked for; zero while none is waited for
	holding  bool             // the view takes long
	held     map[key]struct{} // while holding: all that is here
	full     bool             // nothing has been taken since the reader lost patience
	ended    bool
}

func newRoom(m *Metrics) *room {
	r := &room{metrics: m, wake: make(chan struct{}, 1), space: make(chan struct{}, 1), patient: time.NewTimer(time.Hour),
		gathered: newLoad(), taken: newLoad(), held: map[key]struct{}{}}
	r.patient.Stop()
	return r
}

// add puts questions in, copied. While there is no room it waits for a moment, and then throws them away.
func (r *room) add(questions []question, now time.Time) {
	for len(questions) > 0 {
		n := r.put(questions, now)
		if n > 0 {
			signal(r.wake)
		}
		if questions = questions[n:]; len(questions) > 0 && !r.await() {
			r.metrics.discard(discardOverload, len(questions))
			return
		}
	}
}

// put puts in what there is room for and returns how many questions it has dealt with.
func (r *room) put(questions []question, now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.since.IsZero() && !r.holding && now.Sub(r.since) > slowView {
		r.hold()
	}
	for i := range questions {
		if r.holding {
			k := questions[i].key()
			if _, twice := r.held[k]; twice {
				r.metrics.discard(discardTwice, 1)
				continue
			}
			if !r.gathered.add(questions[i]) {
				return i
			}
			r.held[k] = struct{}{}
			r.metrics.held.Inc()
			continue
		}
		if !r.gathered.add(questions[i]) {
			return i
		}
	}
	return len(questions)
}

// hold notes what is here, so that no copy of it is held besides.
func (r *room) hold() {
	r.holding = true
	for _, l := range []*load{r.taken, r.gathered} {
		for i := range l.questions {
			r.held[l.questions[i].key()] = struct{}{}
		}
		r.metrics.held.Add(float64(len(l.questions)))
	}
}

// await waits for room; false when it has come to nothing.
func (r *room) await() bool {
	r.mu.Lock()
	full := r.full
	r.mu.Unlock()
	if full {
		return false
	}
	r.patient.Reset(roomPatience)
	defer r.patient.Stop()
	select {
	case <-r.space:
		return true
	case <-r.patient.C:
		r.mu.Lock()
		r.full = true
		r.mu.Unlock()
		return false
	}
}

// end says that nothing more comes.
func (r *room) end() {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	signal(r.wake)
}

// take waits for queries and takes all there are; nil when nothing more comes. Those taken before are over.
func (r *room) take() *load {
	for {
		r.mu.Lock()
		ended, some := r.ended, len(r.gathered.questions) > 0
		if some {
			r.taken.empty()
			r.taken, r.gathered = r.gathered, r.taken
			r.full = false
		}
		r.mu.Unlock()
		if some {
			signal(r.space)
			return r.taken
		}
		if ended {
			return nil
		}
		<-r.wake
	}
}

// waiting notes that a view for what was taken is waited for from now on, or no longer, with the zero Time.
func (r *room) waiting(since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since = since
	if since.IsZero() && r.holding {
		r.holding = false
		clear(r.held)
	}
}

// signal wakes whoever waits on c, or whoever waits next.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
