package cluster_test

import (
	"context"
	"errors"
	"time"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
)

// spare is the number of the node without a vote that is removed and comes back.
const spare = 3

// fault is one thing that may go wrong.
type fault struct {
	name string
	do   func(*laboratory)
}

var faults = []fault{
	{"leader alone", func(l *laboratory) { l.c.Partition(l.without(l.leader())) }},
	{"two sides", func(l *laboratory) { l.c.Partition([]int{l.rng.IntN(3), spare}, []int{0, 1, 2}) }},
	{"everyone alone", func(l *laboratory) { l.c.Partition() }},
	{"leader is not heard", func(l *laboratory) { l.cutFrom(l.leader()) }},
	{"leader does not hear", func(l *laboratory) { l.cutTo(l.leader()) }},
	{"one is not heard", func(l *laboratory) { l.cutFrom(l.rng.IntN(4)) }},
	{"one does not hear", func(l *laboratory) { l.cutTo(l.rng.IntN(4)) }},
	{"bridge", func(l *laboratory) {
		a := l.rng.IntN(3)
		l.c.Cut(a, (a+1)%3)
		l.c.Cut((a+1)%3, a)
	}},
	{"ring of one-way cuts", func(l *laboratory) {
		for a := range 3 {
			l.c.Cut(a, (a+1)%3)
		}
	}},
	{"entries late", func(l *laboratory) {
		l.weather(clustertest.Rule{From: clustertest.Any, To: l.rng.IntN(4), Kinds: []clustertest.Kind{clustertest.AppendEntries}, Delay: time.Second})
	}},
	{"entries lost, heartbeats not", func(l *laboratory) {
		l.weather(clustertest.Rule{From: clustertest.Any, To: l.rng.IntN(4), Kinds: []clustertest.Kind{clustertest.AppendEntries}, Drop: 1})
	}},
	{"answers to entries lost", func(l *laboratory) {
		l.weather(clustertest.Rule{From: l.rng.IntN(4), To: clustertest.Any, Kinds: []clustertest.Kind{clustertest.AppendEntries}, Replies: true, Drop: 1})
	}},
	{"heartbeats lost, entries not", func(l *laboratory) {
		l.weather(clustertest.Rule{From: clustertest.Any, To: clustertest.Any, Kinds: []clustertest.Kind{clustertest.Heartbeat}, Drop: 1})
	}},
	{"votes late", func(l *laboratory) {
		votes := []clustertest.Kind{clustertest.RequestVote, clustertest.RequestPreVote, clustertest.TimeoutNow}
		l.weather(clustertest.Rule{From: clustertest.Any, To: clustertest.Any, Kinds: votes, Drop: 0.3, Delay: time.Second},
			clustertest.Rule{From: clustertest.Any, To: clustertest.Any, Kinds: votes, Replies: true, Drop: 0.3, Delay: time.Second})
		l.c.Leader().Kill()
	}},
	{"read indexes lost on the way back", func(l *laboratory) {
		kinds := []clustertest.Kind{clustertest.ReadIndex, clustertest.Term}
		l.weather(clustertest.Rule{From: clustertest.Any, To: clustertest.Any, Kinds: kinds, Replies: true, Drop: 0.7, Delay: 500 * time.Millisecond})
	}},
	{"snapshots lost", func(l *laboratory) {
		l.weather(clustertest.Rule{From: clustertest.Any, To: clustertest.Any, Kinds: []clustertest.Kind{clustertest.InstallSnapshot}, Replies: l.rng.IntN(2) == 0, Drop: 0.7})
	}},
	{"everything late and lossy", func(l *laboratory) {
		l.weather(clustertest.Rule{From: clustertest.Any, To: clustertest.Any, Drop: 0.15, Delay: 150 * time.Millisecond},
			clustertest.Rule{From: clustertest.Any, To: clustertest.Any, Replies: true, Drop: 0.15, Delay: 150 * time.Millisecond})
	}},
	{"handover", handOverSoon}, {"handover", handOverSoon},
	{"leader killed", func(l *laboratory) { l.c.Member(l.leader()).Kill() }},
	{"node killed", func(l *laboratory) { l.c.Member(l.rng.IntN(3)).Kill() }},
	{"node stopped in order", func(l *laboratory) { l.c.Member(l.rng.IntN(3)).Stop() }},
	{"all killed", func(l *laboratory) {
		for _, m := range l.c.Members() {
			m.Kill()
		}
	}},
	{"wall clock of a node jumps", jump}, {"wall clock of a node jumps", jump},
	{"spare removed, emptied and back", replaceSpare},
}

// disturb does one thing after the other until the time. Each goes on for a moment; then all nodes run and hear each other
// again, or the next thing comes on top.
func (l *laboratory) disturb(until time.Time) {
	for time.Now().Before(until) && !l.t.Failed() {
		f := faults[l.rng.IntN(len(faults))]
		l.t.Logf("%s %s", time.Now().Format("05.000"), f.name)
		f.do(l)
		<-time.After(time.Duration(200+l.rng.IntN(1000)) * time.Millisecond)
		if l.rng.IntN(4) == 0 {
			continue
		}
		l.c.Heal()
		for _, m := range l.c.Members() {
			if m.Running() == nil {
				m.Start()
			}
		}
	}
}

// leader is the number of a node that leads, or of any if none does.
func (l *laboratory) leader() int {
	for _, m := range l.c.Members() {
		if n := m.Running(); n != nil && n.IsLeader() {
			return m.Index
		}
	}
	return l.rng.IntN(3)
}

func (l *laboratory) without(i int) []int {
	var out []int
	for j := range 4 {
		if j != i {
			out = append(out, j)
		}
	}
	return out
}

func (l *laboratory) cutFrom(i int) {
	for _, j := range l.without(i) {
		l.c.Cut(i, j)
	}
}

func (l *laboratory) cutTo(i int) {
	for _, j := range l.without(i) {
		l.c.Cut(j, i)
	}
}

func (l *laboratory) weather(rules ...clustertest.Rule) { l.c.Weather(l.rng.Uint64(), rules...) }

func handOverSoon(l *laboratory) {
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Second)
	defer cancel()
	if n := l.c.Member(l.leader()).Running(); n != nil {
		_, _ = n.TransferLeadership(ctx, "") // it need not succeed
	}
}

// jump lets one node's wall clock jump by up to two hours, which is longer than any lease lives here; the others' are right.
func jump(l *laboratory) {
	for i := range l.offsets {
		l.offsets[i].Store(0)
	}
	l.offsets[l.rng.IntN(3)].Store(int64(time.Duration(l.rng.IntN(240)-120) * time.Minute))
}

// replaceSpare removes the spare node from the membership and lets it come back empty, under another id.
func replaceSpare(l *laboratory) {
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Second)
	defer cancel()
	m := l.c.Member(spare)
	leader := l.c.Member(l.leader()).Running()
	if leader == nil {
		return
	}
	if err := leader.Remove(ctx, m.Node().ID()); err != nil && !errors.Is(err, cluster.ErrNoMember) {
		return // the outcome is unknown: it may have to come back as it is
	}
	m.Kill()
	m.Wipe()
	m.Start()
}
