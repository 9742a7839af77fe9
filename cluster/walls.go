package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm/binding"
)

// wallInterval is how often the leader asks the voters for their wall clocks.
const wallInterval = 5 * time.Second

// beginClock begins the term's clock and tells whether the voters' wall clocks have had their say. A new leader goes on from
// the last stamp of the log, or from the voters' median wall clock if that is later and a majority agrees on it; without any
// stamp in the log there is nothing to go on from, and it waits for a majority to answer.
func (n *Node) beginClock(ctx context.Context) (settled bool) {
	n.proposer.begin(n.sm.Clock(), n.instant())
	for ctx.Err() == nil {
		settled = n.consultWalls(ctx, false)
		if settled || n.sm.Clock() > 0 {
			return settled
		}
		pause(ctx, retryPause)
	}
	return false
}

// keepClock slews the term's clock towards the voters' wall clocks. Until a majority of them has answered once, the question
// where the term begins stays open: a leader that could reach nobody at first must not lag behind for days.
func (n *Node) keepClock(ctx context.Context, settled bool) {
	interval := wallInterval
	if !settled {
		interval = n.cfg.ProofInterval
	}
	for pause(ctx, interval) {
		if settled = n.consultWalls(ctx, settled) || settled; settled {
			interval = wallInterval
		}
	}
}

// consultWalls asks the voters for their wall clocks, once, and lets them set where the term begins, unless that is settled,
// or else what the clock slews to. It tells whether the term's beginning is settled.
func (n *Node) consultWalls(ctx context.Context, settled bool) bool {
	voters, err := n.voters()
	if err != nil {
		return settled
	}
	reports := n.askWalls(ctx, voters)
	at := n.instant()
	median, v := judgeWalls(reports, len(voters), n.cfg.ClockMaxStep, at)
	if v == unheard {
		if len(reports) > 0 {
			n.proposer.adjust(func(s *stamper) { s.observe(medianWall(reports, at), at) })
		}
		return settled
	}
	first := n.sm.Clock() == 0
	n.proposer.adjust(func(s *stamper) {
		if !settled && (v == agreed || first) {
			s.step(median, at)
		}
		s.observe(median, at)
	})
	if !settled && v == disputed {
		n.log.Error("clock alarm: the voters' wall clocks disagree; cluster time goes on from the last entry", "max_step", n.cfg.ClockMaxStep,
			"median", median, "last", n.sm.Clock())
	}
	return true
}

// stragglerGrace is how long the leader waits for more wall clocks when a majority of the voters has answered.
const stragglerGrace = 50 * time.Millisecond

// askWalls asks each voter, this node included, for its wall clock. Who does not answer soon is left out.
func (n *Node) askWalls(ctx context.Context, voters []raft.Server) []wallReport {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.HeartbeatTimeout)
	defer cancel()
	answers := n.askTerms(ctx, voters)
	var reports []wallReport
	var grace <-chan time.Time
	for range voters {
		select {
		case a := <-answers:
			if a.err == nil {
				reports = append(reports, a.wall)
			}
		case <-grace:
			return reports
		}
		if grace == nil && len(reports) > len(voters)/2 {
			grace = time.After(stragglerGrace)
		}
	}
	return reports
}

// termAnswer is a voter's answer to Term.
type termAnswer struct {
	term uint64
	wall wallReport
	err  error
}

// askTerms asks every server for its term and wall clock, all at once, this node without a call. Each gives one answer, at the
// latest when ctx ends.
func (n *Node) askTerms(ctx context.Context, servers []raft.Server) <-chan termAnswer {
	answers := make(chan termAnswer, len(servers))
	for _, s := range servers {
		if string(s.ID) == n.ID() {
			answers <- termAnswer{term: n.Term(), wall: wallReport{wall: binding.FromWall(n.deps.Wall()), at: n.instant()}}
			continue
		}
		go func() { answers <- n.askTerm(ctx, string(s.ID)) }()
	}
	return answers
}

// askTerm asks one node. The wall clock is taken to have been read halfway through the call.
func (n *Node) askTerm(ctx context.Context, id string) termAnswer {
	addr, err := n.grpcAddress(id)
	if err != nil {
		return termAnswer{err: err}
	}
	sent := n.instant()
	r, err := n.deps.Peers.Term(ctx, addr, n.ClusterID())
	if err != nil {
		return termAnswer{err: err}
	}
	if r.NodeID != id {
		return termAnswer{err: errOtherNode(addr, r.NodeID, id)}
	}
	return termAnswer{term: r.Term, wall: wallReport{wall: binding.FromWall(r.Wall), at: (sent + n.instant()) / 2}}
}
