package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/store"
)

// indexTimeout bounds one round of ReadIndex.
const indexTimeout = 2 * time.Second

// View is the state with everything that was committed before the call: it asks the leader for an index and waits until this
// node has applied it. While there is no leader it waits up to ReadHold; then it still gives a view if the node was provably
// up to date less than MaxStaleness ago, else ErrNotFresh, or ctx's error when that ends first; fsm.ErrDiverged from a node that
// has taken itself out. The caller releases the view.
func (n *Node) View(ctx context.Context) (binding.View, error) { return n.History(ctx) }

// History is View, for readers of the order of changes.
func (n *Node) History(ctx context.Context) (binding.History, error) {
	if err := n.catchUp(ctx); err != nil {
		return nil, err
	}
	return n.shown()
}

// Latest is the state as this node has it, for readers of the order of changes, who ask Fresh behind it whether it may be shown. The
// caller releases it.
func (n *Node) Latest() binding.History { return n.sm.View() }

// Feed tells of the changes as this node applies them. It has them only when a view that is taken then shows them.
func (n *Node) Feed() binding.Feed { return n.sm.Feed() }

// StaleView is the state as this node has it, however old. The caller releases it.
func (n *Node) StaleView() *store.View { return n.sm.View() }

// catchUp returns when this node's state may be shown.
func (n *Node) catchUp(ctx context.Context) error {
	hold, cancel := context.WithTimeout(ctx, n.cfg.ReadHold)
	defer cancel()
	var last error
	for {
		changed := n.changed.wait()
		if last = n.proveFresh(hold); last == nil {
			return nil
		}
		if err := n.divergence(); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if hold.Err() != nil {
			break
		}
		retry := time.NewTimer(retryPause)
		select {
		case <-changed:
		case <-retry.C:
		case <-hold.Done():
		}
		retry.Stop()
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if age, ok := n.Fresh(); ok && age <= n.cfg.MaxStaleness && !n.removed.Load() {
		return nil
	}
	return fmt.Errorf("read: %w: %w", ErrNotFresh, last)
}

// proveFresh asks for a read index and waits until it is applied here: then the node had, at the time of the call, everything
// that was committed.
func (n *Node) proveFresh(ctx context.Context) error {
	before, asked := n.candidacy(), n.instant()
	ri, err := n.ReadIndex(ctx)
	if err != nil {
		return err
	}
	if err := n.sm.Wait(ctx, ri.Index); err != nil {
		return fmt.Errorf("wait for index %d: %w", ri.Index, err)
	}
	n.freshSince(asked)
	return n.confirmMembership(before, ri)
}

// ReadIndex is an index that has everything committed when the call began, from any node. Calls that come while one is under
// way share the next. Errors: ErrNoLeader, ErrNotLeader, ErrNotRunning, the peer's, or ctx's.
func (n *Node) ReadIndex(ctx context.Context) (ReadIndex, error) { return n.reads.join(ctx) }

// ServeReadIndex is what the leader answers to another node of the cluster with the id. Errors: ErrNotLeader, ErrWrongCluster,
// ErrNotRunning or ctx's.
func (n *Node) ServeReadIndex(ctx context.Context, clusterID string) (ReadIndex, error) {
	if err := n.sameCluster(clusterID); err != nil {
		return ReadIndex{}, err
	}
	return n.proofs.join(ctx)
}

// askIndex gets a read index, from this node if it leads, else from the leader.
func (n *Node) askIndex(ctx context.Context) (ReadIndex, error) {
	r := n.raft.Load()
	if r == nil {
		return ReadIndex{}, ErrNotRunning
	}
	if r.State() == raft.Leader {
		return n.proofs.join(ctx)
	}
	_, id := r.LeaderWithID()
	if id == "" {
		return ReadIndex{}, ErrNoLeader
	}
	addr, err := n.grpcAddress(string(id))
	if err != nil {
		return ReadIndex{}, fmt.Errorf("%w: %w", ErrNoLeader, err)
	}
	ctx, cancel := n.whileLeader(ctx, id)
	defer cancel()
	ri, err := n.deps.Peers.ReadIndex(ctx, addr, n.ClusterID())
	if err != nil {
		return ReadIndex{}, fmt.Errorf("ask leader %s for a read index: %w", id, err)
	}
	return ri, nil
}

// whileLeader bounds a call to the leader: it ends as soon as this node knows another leader or none, so that a dead leader
// holds up nobody longer than its election.
func (n *Node) whileLeader(ctx context.Context, id raft.ServerID) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	go func() {
		for {
			changed := n.changed.wait()
			if _, now := n.raft.Load().LeaderWithID(); now != id {
				cancel()
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
}

// proveIndex is the leader's side: it takes the commit index and then has a majority of the voters confirm that they still are
// in this leader's term. Whoever leads a later term was elected by a majority that had moved on to it, which meets this one
// in at least one voter: so whatever a later leader commits, it commits after the index was taken.
func (n *Node) proveIndex(ctx context.Context) (ReadIndex, error) {
	r := n.raft.Load()
	if r == nil {
		return ReadIndex{}, ErrNotRunning
	}
	if err := n.divergence(); err != nil {
		return ReadIndex{}, fmt.Errorf("%w: %w", ErrNotLeader, err)
	}
	term := n.readyTerm.Load()
	leads := func() bool { return term != 0 && r.State() == raft.Leader && r.CurrentTerm() == term }
	if !leads() {
		return ReadIndex{}, fmt.Errorf("%w, or not yet ready in its term", ErrNotLeader)
	}
	index := r.CommitIndex()
	voters, err := n.voters()
	if err != nil {
		return ReadIndex{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	if err := confirmTerm(n.askTerms(ctx, voters), len(voters), term); err != nil {
		return ReadIndex{}, err
	}
	if !leads() {
		return ReadIndex{}, fmt.Errorf("%w any more", ErrNotLeader)
	}
	return ReadIndex{Index: index, Term: term}, nil
}

// confirmTerm waits until a majority of the voters has answered with the term, or cannot any more.
func confirmTerm(answers <-chan termAnswer, voters int, term uint64) error {
	confirmed, lost := 0, 0
	var errs []error
	for range voters {
		switch a := <-answers; {
		case a.err != nil:
			lost++
			errs = append(errs, a.err)
		case a.term != term:
			lost++
			errs = append(errs, fmt.Errorf("voter is in term %d, not %d", a.term, term))
		default:
			confirmed++
		}
		if confirmed > voters/2 {
			return nil
		}
		if voters-lost <= voters/2 {
			break
		}
	}
	return fmt.Errorf("%w: %d of %d voters confirm the term: %w", ErrNotLeader, confirmed, voters, errors.Join(errs...))
}
