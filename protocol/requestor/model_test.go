package requestor

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// model is a cluster of servers as RFC 7653 and the rules of docs/conformance.md want them: a linear history and what holds now. Its time is the bubble's.
type model struct {
	t       *testing.T
	began   time.Time
	slow    time.Duration // what a bulk answer takes for each client
	mu      sync.Mutex
	history []happening
	leases  map[int]modelLease
	lost    int           // what is before it in history is forgotten
	since   uint32        // so resumes from before it miss data
	changed chan struct{} // closed when history grows or is forgotten
	cut     chan struct{} // closed when all connections end
	way     int           // in which they do
	gone    sync.WaitGroup
}

type happening struct {
	at    uint32
	who   byte
	key   int
	ended bool
}

type modelLease struct {
	who   byte
	got   uint32
	index int // in history
}

const modelValid = 1_000_000

func newModel(t *testing.T, slow time.Duration) *model {
	return &model{t: t, began: time.Now(), slow: slow, leases: map[int]modelLease{}, changed: make(chan struct{}), cut: make(chan struct{})}
}

func (m *model) now() uint32 { return 1000 + uint32(time.Since(m.began)/time.Second) }

// happen appends to history and wakes the subscriptions.
func (m *model) happen(h happening) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h.at = m.now()
	if old, ok := m.leases[h.key]; ok && (h.ended || old.who != h.who) { // the old owner's end before the new owner's lease
		m.history = append(m.history, happening{at: h.at, who: old.who, key: h.key, ended: true})
		delete(m.leases, h.key)
	}
	if !h.ended {
		m.leases[h.key] = modelLease{h.who, h.at, len(m.history)}
		m.history = append(m.history, h)
	}
	m.wake()
}

func (m *model) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// forget loses the history up to now.
func (m *model) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost, m.since = len(m.history), m.now()
	m.wake()
}

// sever ends all connections: 0 by a close, 1 in the middle of a frame, 2 with QueryTerminated, 3 with a base time as well.
func (m *model) sever(way int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.way = way
	close(m.cut)
	m.cut = make(chan struct{})
}

func (m *model) dial(context.Context, string) (net.Conn, error) {
	client, server := net.Pipe()
	m.mu.Lock()
	cut := m.cut
	m.mu.Unlock()
	p := &peer{t: m.t, conn: server, frames: dhcpv6.NewReader(server, nil)}
	over := make(chan struct{})
	m.gone.Go(func() {
		defer close(over)
		defer func() { _ = server.Close() }() // the requestor may have been first
		m.serve(p, cut)
	})
	m.gone.Go(func() { // a cut ends what is blocked, too
		select {
		case <-over:
		case <-cut:
			pause(time.Millisecond) // to say what it has to say
			_ = server.Close()
		}
	})
	return client, nil
}

func (m *model) serve(p *peer, cut chan struct{}) {
	for p.read() {
		if p.asked.Type == dhcpv6.MessageLeasequery {
			if !m.bulk(p, cut) {
				return
			}
			continue
		}
		m.subscription(p, cut)
		return
	}
}

func (m *model) bulk(p *peer, cut chan struct{}) bool {
	m.mu.Lock()
	at, end := m.now(), len(m.history)
	all := map[byte]dhcpv6.Options{}
	for _, l := range m.leases {
		all[l.who] = m.client(l.who, end, at)
	}
	m.mu.Unlock()
	if len(all) == 0 {
		return p.reply(base(at))
	}
	kind, begin := dhcpv6.MessageLeasequeryReply, head()
	for _, c := range all {
		select {
		case <-time.After(m.slow):
		case <-cut:
			return false
		}
		if !p.send(kind, begin, must(dhcpv6.ClientData{Options: c}), base(at)) {
			return false
		}
		kind, begin = dhcpv6.MessageLeasequeryData, nil
	}
	select {
	case <-time.After(m.slow):
	case <-cut:
		return false
	}
	return p.done(base(at))
}

// client is what a client has, of what changed up to end in history.
func (m *model) client(who byte, end int, at uint32) dhcpv6.Options {
	var keys []int
	var last uint32
	for k, l := range m.leases {
		if l.who == who && l.index <= end {
			keys, last = append(keys, k), max(last, l.got)
		}
	}
	slices.Sort(keys)
	// As in the real server, a change of one lease is a transaction of its client; the others keep their lifetimes.
	c := must(dhcpv6.ClientID{0, 2, who}, dhcpv6.CLTTime(at-last))
	for _, k := range keys {
		c = join(c, must(dhcpv6.IAAddress{Address: numbered(k), Valid: m.leases[k].got + modelValid - at}))
	}
	return c
}

// message is what is told at a change, or false if a later one tells of it.
func (m *model) message(i int, at uint32) (dhcpv6.Options, bool) {
	h := m.history[i]
	l, held := m.leases[h.key]
	if h.ended && held && l.who == h.who || !h.ended && l.index != i {
		return nil, false
	}
	c := m.client(h.who, i, at)
	if h.ended {
		c = join(c, must(dhcpv6.IAAddress{Address: numbered(h.key)}))
	}
	return must(dhcpv6.ClientData{Options: c}), true
}

func (m *model) subscription(p *peer, cut chan struct{}) {
	m.mu.Lock()
	position, reply, catching := len(m.history), base(m.now()), false
	if value, ok := p.asked.Options.First(dhcpv6.OptionLQStartTime); ok {
		start, err := dhcpv6.ParseStartTime(value)
		if err != nil {
			m.t.Error(err)
		}
		if catching = uint32(start) >= m.since; catching {
			position = slices.IndexFunc(m.history, func(h happening) bool { return h.at >= uint32(start) })
			if position < 0 {
				position = len(m.history)
			}
		} else {
			reply = join(reply, says(dhcpv6.StatusDataMissing))
		}
	}
	target := len(m.history)
	m.mu.Unlock()
	if !p.reply(reply) {
		return
	}
	for {
		m.mu.Lock()
		changed, missing := m.changed, position < m.lost
		var out dhcpv6.Options
		told := true
		switch {
		case missing:
			position, catching = len(m.history), false
			out = join(base(m.now()), says(dhcpv6.StatusDataMissing))
		case catching && position >= target:
			catching = false
			out = join(base(m.base(position)), says(dhcpv6.StatusCatchUpComplete))
		case position < len(m.history):
			at := m.history[position].at
			if position == len(m.history)-1 {
				at = m.now()
			}
			if out, told = m.message(position, at); told {
				out = join(base(at), out)
			}
			position++
		default:
			told = false
		}
		idle := !told && position >= len(m.history)
		m.mu.Unlock()
		if told && !p.data(out) || idle && !m.wait(p, changed, cut) {
			return
		}
	}
}

// base is the base time of a message behind which history goes on at position.
func (m *model) base(position int) uint32 {
	if position < len(m.history) {
		return m.history[position].at
	}
	return m.now()
}

// wait waits for a change; false ends the subscription.
func (m *model) wait(p *peer, changed, cut chan struct{}) bool {
	select {
	case <-changed:
		return true
	case <-time.After(60 * time.Second):
		m.mu.Lock()
		now, same := m.now(), changed == m.changed
		m.mu.Unlock()
		return !same || p.data(base(now))
	case <-cut:
		m.mu.Lock()
		way := m.way
		m.mu.Unlock()
		switch way {
		case 1:
			p.octets([]byte{0, 200, 17})
		case 2:
			p.done(says(dhcpv6.StatusQueryTerminated))
		case 3:
			p.done(says(dhcpv6.StatusQueryTerminated), base(m.now()))
		}
		return false
	}
}
