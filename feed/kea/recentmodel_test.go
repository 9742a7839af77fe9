package kea

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// modelKea is a Kea: what it has, what it wrote into its file, and the pushes that are on their way.
type modelKea struct {
	now    time.Time
	leases map[netip.Addr]row
	file   []row
	sent   [][]held // by connection: what is on its way, in order
	all    bool     // everything is pushed: no operator and no timer does anything
}

func (k *modelKea) second() int64 { return k.now.Unix() }

// write changes the lease of an address; pushed tells whether a connection carries it.
func (k *modelKea) write(r row, conn int) {
	if r.leased() {
		k.leases[r.prefix.Addr()] = r
	} else {
		delete(k.leases, r.prefix.Addr())
	}
	k.file = append(k.file, r)
	if conn >= 0 {
		k.sent[conn] = append(k.sent[conn], held{rows: []row{r}, count: 1, conn: uint64(conn + 1)})
	}
}

// act lets clients, operators and timers do something.
func (k *modelKea) act(t *rapid.T) {
	a := netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", rapid.IntRange(1, 3).Draw(t, "address")))
	conn := rapid.IntRange(0, len(k.sent)-1).Draw(t, "connection")
	old, had := k.leases[a]
	fresh := row{prefix: netip.PrefixFrom(a, 128), kind: binding.NA, duid: []byte{0, 3, byte(rapid.IntRange(1, 2).Draw(t, "client"))}, iaid: 7, valid: 7200,
		preferred: 3600, expire: k.second() + 7200, subnet: []byte("1")}
	if had {
		fresh.duid = old.duid
	}
	end := old
	acts := []string{"assign", "assign", "release", "decline", "expire", "delete", "add"}
	if k.all {
		acts = acts[:4]
	}
	switch what := rapid.SampledFrom(acts).Draw(t, "what"); {
	case what == "assign":
		k.write(fresh, conn)
	case what == "add":
		fresh.iaid = 8
		k.write(fresh, -1)
	case !had:
	case what == "release":
		end.state = stateReleased
		k.write(end, conn)
	case what == "decline":
		end.state, end.duid, end.expire = stateDeclined, nil, fresh.expire
		k.write(end, conn)
	case what == "expire":
		end.state = stateReclaimed
		k.write(end, -1)
	case what == "delete":
		end.valid, end.expire = 0, end.transaction()
		k.write(end, -1)
	}
}

// snapshot is what Kea says now.
func (k *modelKea) snapshot() (rows []row) {
	for _, a := range slices.SortedFunc(maps.Keys(k.leases), netip.Addr.Compare) {
		rows = append(rows, k.leases[a])
	}
	return rows
}

// modelRun is a server that is led by hand, beside the Kea.
type modelRun struct {
	t        *rapid.T
	kea      *modelKea
	server   *Server
	pump     *pump
	sink     *clusterSink
	file     *wayRun // nil: not followed
	pages    *wayRun // nil: Kea cannot be asked
	told     int     // lines of the file that were read
	page     *chunk  // asked for, and not taken
	question *finding
}

func newModelRun(t *rapid.T, conns int, followed, asking bool) *modelRun {
	m := &modelRun{t: t, kea: &modelKea{now: time.Unix(someCLTT, 0), leases: map[netip.Addr]row{}, sent: make([][]held, conns)}}
	now := func() time.Time { return m.kea.now }
	m.sink = newClusterSink(now)
	var err error
	if m.server, err = NewServer(ServerConfig{Leases: "x", now: now}); err != nil {
		t.Fatal(err)
	}
	m.server.recent = newRecent(followed, asking)
	m.pump = newPump(m.server, m.sink)
	if followed {
		m.file = &wayRun{way: quiet{}, file: true, ring: make(chan struct{}, 1)}
		m.server.ways = append(m.server.ways, m.file)
	}
	if asking {
		m.pages = &wayRun{way: quiet{}, ring: make(chan struct{}, 1)}
		m.server.ways = append(m.server.ways, m.pages)
	}
	return m
}

func (m *modelRun) must(err error) {
	if err != nil {
		m.t.Fatal(err)
	}
}

// step does one thing.
func (m *modelRun) step() {
	k := m.kea
	k.now = k.now.Add(time.Microsecond)
	switch what := rapid.SampledFrom([]string{"act", "act", "act", "time", "push", "push", "push", "file", "file", "page", "ask"}).Draw(m.t, "step"); what {
	case "act":
		k.act(m.t)
	case "time":
		k.now = k.now.Add(time.Duration(rapid.SampledFrom([]int{300, 900, 2000, 9000}).Draw(m.t, "ms")) * time.Millisecond)
	case "push":
		m.push(rapid.IntRange(0, len(k.sent)-1).Draw(m.t, "arrives"))
	case "file":
		m.events(rapid.IntRange(1, 3).Draw(m.t, "lines"))
	case "page":
		if !k.all {
			m.pageStep()
		}
	case "ask":
		m.askStep()
	}
}

func (m *modelRun) push(conn int) {
	k := m.kea
	if len(k.sent[conn]) == 0 {
		return
	}
	h := k.sent[conn][0]
	k.sent[conn] = k.sent[conn][1:]
	h.arrived, h.stated = k.now, make(chan (<-chan struct{}), 1)
	m.server.queue.put(&h)
	m.must(m.pump.pushes(m.t.Context()))
	m.pump.acknowledged()
}

func (m *modelRun) events(n int) {
	if m.file == nil || m.told == len(m.kea.file) {
		return
	}
	rows := slices.Clone(m.kea.file[m.told:min(m.told+n, len(m.kea.file))])
	m.told += len(rows)
	m.must(m.pump.chunk(m.t.Context(), m.file, chunk{rows: rows, events: true}))
}

// pageStep begins a statement of pages and asks for it, or takes what was said.
func (m *modelRun) pageStep() {
	if m.pages == nil {
		return
	}
	if m.page == nil {
		m.must(m.pump.chunk(m.t.Context(), m.pages, chunk{begin: &beginning{}}))
		m.page = &chunk{rows: m.kea.snapshot(), asked: m.kea.now}
		return
	}
	m.must(m.pump.chunk(m.t.Context(), m.pages, *m.page))
	m.must(m.pump.chunk(m.t.Context(), m.pages, chunk{end: true}))
	m.page = nil
}

// askStep asks for the first lease that nobody can tell, or takes the answer.
func (m *modelRun) askStep() {
	if m.pages == nil {
		return
	}
	if m.question != nil {
		m.must(m.pump.answered(m.t.Context(), *m.question))
		m.question = nil
		return
	}
	if q, ok := m.server.reread.next(); ok {
		m.server.reread.begin()
		m.question = &finding{question: q, asked: m.kea.now}
		if r, ok := m.kea.leases[q.prefix.Addr()]; ok {
			m.question.row = &r
		}
	}
}

// settle lets everything arrive that is on its way.
func (m *modelRun) settle() {
	for m.page != nil || m.question != nil || slices.ContainsFunc(m.kea.sent, func(s []held) bool { return len(s) > 0 }) || len(m.server.reread.waiting) > 0 ||
		(m.file != nil && m.told < len(m.kea.file)) {
		m.kea.now = m.kea.now.Add(time.Microsecond)
		switch rapid.IntRange(0, 3).Draw(m.t, "arrival") {
		case 0:
			m.push(rapid.IntRange(0, len(m.kea.sent)-1).Draw(m.t, "arrives"))
		case 1:
			m.events(2)
		case 2:
			if m.page != nil {
				m.pageStep()
			}
		case 3:
			m.askStep()
		}
	}
}

// compare holds the cluster against Kea.
func (m *modelRun) compare() {
	text := func(duid []byte, iaid, stamp uint32) string { return fmt.Sprintf("%x %d at %d", duid, iaid, stamp) }
	want, got := map[netip.Addr]string{}, map[netip.Addr]string{}
	for a, r := range m.kea.leases {
		want[a] = text(r.duid, r.iaid, uint32(r.transaction()))
	}
	for p, l := range m.sink.leases {
		got[p.Addr()] = text(l.GetDuid(), l.GetIaid(), l.GetStamp())
	}
	if !maps.Equal(want, got) {
		m.t.Fatalf("Kea has %v, the cluster %v", want, got)
	}
}

// quiet is a way that says nothing of itself.
type quiet struct{ way }

func (quiet) trouble() string { return "" }

// TestWhateverOrderTheFinalStateIsKeas lets pushes on several connections, lines of the file, pages and answers arrive in any order
// that may happen. With the file the end is Kea's without further ado; with pages after one more statement, because Kea does not push
// everything. Where it does, the answers to what nobody can tell are enough.
func TestWhateverOrderTheFinalStateIsKeas(t *testing.T) {
	for _, tc := range []struct {
		name             string
		conns            int
		followed, asking bool
		all              bool
	}{
		{"file", 3, true, false, false}, {"file and pages", 3, true, true, false}, {"pages", 3, false, true, false},
		{"pushes and answers", 3, false, true, true}, {"pushes on one connection", 1, false, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := newModelRun(t, tc.conns, tc.followed, tc.asking)
				m.kea.all = tc.all
				for range rapid.IntRange(1, 60).Draw(t, "steps") {
					m.step()
				}
				m.settle()
				if !tc.followed && !tc.all {
					for range 2 {
						m.kea.now = m.kea.now.Add(time.Microsecond)
						m.pageStep()
					}
					m.settle()
				}
				m.compare()
			})
		})
	}
}
