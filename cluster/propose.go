package cluster

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sync/semaphore"

	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
)

// entryOverhead is what an entry costs beside its octets, so that many small ones are bounded too.
const entryOverhead = 1024

// pendingQueue is how many proposals may wait to be settled before Propose waits.
const pendingQueue = 4096

// Pending is a proposal under way.
type Pending struct {
	future raft.ApplyFuture
	cost   int64
	done   chan struct{}
	result fsm.Result
	err    error
}

// Done is closed when the outcome is known, or known to stay unknown.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Wait returns what the state machine answered once the entry is committed by a majority and applied here. Errors: ErrNotLeader
// and ErrBusy (certainly not in the log) and ErrUnknown, also when ctx ends first.
func (p *Pending) Wait(ctx context.Context) (fsm.Result, error) {
	select {
	case <-p.done:
		return p.result, p.err
	case <-ctx.Done():
		return fsm.Result{}, fmt.Errorf("wait for proposal: %w: %w", ErrUnknown, context.Cause(ctx))
	}
}

// proposer puts entries into the log in the order of their stamps.
type proposer struct {
	flight  *semaphore.Weighted
	turn    chan struct{} // held while stamping and queueing: stamps and log have one order
	stamps  *stamper      // guarded by turn; nil while no term is ready
	settle  chan *Pending
	waiting atomic.Int64 // proposals not settled
	idle    *broadcast   // told when waiting becomes 0
	last    atomic.Int64 // monotonic instant of the last proposal
}

func newProposer(maxInFlight int64) *proposer {
	return &proposer{
		flight: semaphore.NewWeighted(maxInFlight), turn: make(chan struct{}, 1),
		settle: make(chan *Pending, pendingQueue), idle: newBroadcast(),
	}
}

// Propose stamps the entry, made by package fsm, with the cluster's time and hands it to the log. It returns as soon as the
// entry is queued; entries proposed from one goroutine stay in order. The node keeps the entry: the caller must not touch it
// again. Propose waits while too much is in flight. Errors: ErrNotLeader, ErrBusy, ErrInvalid, ErrNotRunning or ctx's; after
// any of them the entry is certainly not in the log.
func (n *Node) Propose(ctx context.Context, entry []byte) (*Pending, error) {
	return n.propose(ctx, entry, n.accepting)
}

// propose is Propose for whoever accepting lets: the leader's own entries come before all others of its term.
func (n *Node) propose(ctx context.Context, entry []byte, accepting func() error) (*Pending, error) {
	if len(entry) == 0 || len(entry) > n.cfg.MaxEntry {
		return nil, fmt.Errorf("propose: %w: entry of %d octets, want 1 to %d", ErrInvalid, len(entry), n.cfg.MaxEntry)
	}
	if err := accepting(); err != nil {
		return nil, fmt.Errorf("propose: %w", err)
	}
	pr := n.proposer
	p := &Pending{cost: int64(len(entry)) + entryOverhead, done: make(chan struct{})}
	if err := pr.flight.Acquire(ctx, p.cost); err != nil {
		return nil, fmt.Errorf("propose: wait for room in flight: %w", err)
	}
	select {
	case pr.turn <- struct{}{}:
	case <-ctx.Done():
		pr.flight.Release(p.cost)
		return nil, fmt.Errorf("propose: wait for turn: %w", context.Cause(ctx))
	}
	defer func() { <-pr.turn }()
	pr.waiting.Add(1) // before looking whether the node stops: it stops only when nothing waits
	err := accepting()
	if err == nil && pr.stamps == nil {
		err = ErrNotLeader
	}
	if err != nil {
		pr.settled(p)
		return nil, fmt.Errorf("propose: %w", err)
	}
	fsm.Seal(entry, pr.stamps.stamp(n.instant()))
	pr.last.Store(int64(n.instant()))
	p.future = n.raft.Load().Apply(entry, n.cfg.RaftStallTimeout)
	pr.settle <- p // settled by a goroutine that outlives every proposal
	return p, nil
}

// accepting tells why this node takes no proposals: nil only for a leader that is ready in its term.
func (n *Node) accepting() error { return n.leads(n.readyTerm.Load()) }

// leading is accepting for the leader's own entries.
func (n *Node) leading() error { return n.leads(n.leadTerm.Load()) }

func (n *Node) leads(term uint64) error {
	switch r := n.raft.Load(); {
	case r == nil:
		return ErrNotRunning
	case n.stopping.Load():
		return fmt.Errorf("%w: stopping", ErrNotLeader)
	case n.divergence() != nil:
		return fmt.Errorf("%w: %w", ErrNotLeader, n.divergence())
	case n.handing.Load():
		return fmt.Errorf("%w: handing over leadership", ErrNotLeader)
	case r.State() != raft.Leader:
		return ErrNotLeader
	case term == 0 || r.CurrentTerm() != term:
		return fmt.Errorf("%w: not yet ready in its term", ErrNotLeader)
	}
	return nil
}

// instant is the monotonic time since the node was opened.
func (n *Node) instant() time.Duration { return time.Since(n.origin) }

// run settles proposals in order until stop is closed and none is left.
func (pr *proposer) run(stop <-chan struct{}) {
	for {
		select {
		case p := <-pr.settle:
			pr.finish(p)
		case <-stop:
			for {
				select {
				case p := <-pr.settle:
					pr.finish(p)
				default:
					return
				}
			}
		}
	}
}

// finish waits for the outcome of p. Raft answers every future while it runs: with the result, or when it loses leadership.
func (pr *proposer) finish(p *Pending) {
	if err := p.future.Error(); err != nil {
		p.err = fmt.Errorf("propose: %w", proposalError(err))
	} else if r, ok := p.future.Response().(fsm.Result); ok {
		p.result = r
	} else {
		p.err = fmt.Errorf("propose: %w: state machine answered %T", ErrUnknown, p.future.Response())
	}
	close(p.done)
	pr.settled(p)
}

// settled gives back what p took.
func (pr *proposer) settled(p *Pending) {
	pr.flight.Release(p.cost)
	if pr.waiting.Add(-1) == 0 {
		pr.idle.tell()
	}
}

// drained waits until nothing is in flight.
func (pr *proposer) drained(ctx context.Context) error {
	for {
		changed := pr.idle.wait()
		if pr.waiting.Load() == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// begin lets a term propose, from the time start on.
func (pr *proposer) begin(start binding.Time, at time.Duration) {
	pr.turn <- struct{}{}
	pr.stamps = newStamper(start, at)
	<-pr.turn
}

// adjust changes the stamper of the term that proposes, if there is one.
func (pr *proposer) adjust(change func(*stamper)) {
	pr.turn <- struct{}{}
	defer func() { <-pr.turn }()
	if pr.stamps != nil {
		change(pr.stamps)
	}
}

// end ends the term's proposals.
func (pr *proposer) end() {
	pr.turn <- struct{}{}
	pr.stamps = nil
	<-pr.turn
}

// broadcast wakes everyone who waits for a change.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

func newBroadcast() *broadcast { return &broadcast{ch: make(chan struct{})} }

// wait is closed at the next change: take it, look, then wait.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ch
}

// tell wakes everyone.
func (b *broadcast) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.ch)
	b.ch = make(chan struct{})
}
