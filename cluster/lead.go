package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm"
)

// retryPause is between attempts of a leader to get ready.
const retryPause = 50 * time.Millisecond

// followLeadership starts the leader's work when Raft makes this node leader and ends it when it no longer is.
func (n *Node) followLeadership(ctx context.Context, notify <-chan bool) {
	stop := func() {}
	defer func() { stop() }()
	for {
		select {
		case leader := <-notify:
			stop()
			stop = func() {}
			if leader {
				stop = n.startTerm(ctx)
			}
			n.changed.tell()
		case <-ctx.Done():
			return
		}
	}
}

// startTerm runs the leader's work beside the caller; the function that it returns ends it and waits.
func (n *Node) startTerm(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.lead(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// lead does the leader's work of one term. Others may propose and ask for read indexes only after the term's first entry is
// applied: the state machine is not told of Raft's own entries at the beginning of a term, so a read index taken there would
// be one that no state machine ever reaches.
func (n *Node) lead(ctx context.Context) {
	term, ok := n.getReady(ctx)
	if !ok {
		return
	}
	defer func() {
		n.readyTerm.Store(0)
		n.leadTerm.Store(0)
		n.proposer.end()
		n.changed.tell()
	}()
	settled := n.beginClock(ctx)
	n.leadTerm.Store(term)
	if !n.found(ctx) || !n.openTerm(ctx) {
		return
	}
	n.readyTerm.Store(term)
	n.changed.tell()
	n.log.Info("leading", "term", term)
	var work sync.WaitGroup
	work.Go(func() { n.keepClock(ctx, settled) })
	work.Go(func() { n.maintain(ctx) })
	work.Go(func() { n.admit(ctx) })
	work.Go(func() { n.raiseLevel(ctx) })
	work.Go(func() { n.keepCheckpoints(ctx) })
	work.Wait()
}

// openTerm proposes the time as the term's first entry. false: the term ended first.
func (n *Node) openTerm(ctx context.Context) bool {
	for {
		_, err := n.proposeAndWait(ctx, fsm.AppendTick(nil, n.cfg.MaintainLimit))
		if err == nil {
			return true
		}
		n.log.Debug("term is not open yet", "error", err)
		if !pause(ctx, retryPause) {
			return false
		}
	}
}

// getReady waits until everything of earlier terms is applied here: until a barrier began and ended in one term.
func (n *Node) getReady(ctx context.Context) (term uint64, ok bool) {
	r := n.raft.Load()
	for {
		term := r.CurrentTerm()
		err := await(ctx, r.Barrier(n.cfg.RaftStallTimeout))
		if err == nil && r.State() == raft.Leader && r.CurrentTerm() == term {
			return term, true
		}
		if ctx.Err() != nil {
			return 0, false
		}
		n.log.Warn("leader is not ready yet", "term", term, "error", err)
		if !pause(ctx, retryPause) {
			return 0, false
		}
	}
}

// found proposes the cluster's settings if there are none yet. They are the first entry of a cluster's life. false: the term
// ended first.
func (n *Node) found(ctx context.Context) bool {
	for n.sm.Settings().ClusterID == "" {
		s := fsm.Settings{ClusterID: formatUUID(newUUID()), ServerDUID: n.cfg.ServerDUID, CatchUp: n.cfg.CatchUp}
		if len(s.ServerDUID) == 0 {
			s.ServerDUID = newServerDUID()
		}
		if err := n.proposeSettings(ctx, s); err != nil && ctx.Err() == nil {
			n.log.Warn("cluster is not founded yet", "error", err)
		} else if err == nil {
			n.log.Info("founded cluster", "cluster", s.ClusterID, "server_duid", fmt.Sprintf("%x", s.ServerDUID))
			return true
		}
		if !pause(ctx, retryPause) {
			return false
		}
	}
	return true
}

// newServerDUID is a DUID-UUID (RFC 6355): type 4 and a UUID.
func newServerDUID() []byte {
	u := newUUID()
	return append([]byte{0, 4}, u[:]...)
}

func (n *Node) proposeSettings(ctx context.Context, s fsm.Settings) error {
	entry, err := fsm.AppendSettings(nil, s)
	if err != nil {
		return fmt.Errorf("encode settings: %w", err)
	}
	_, err = n.proposeAndWait(ctx, entry)
	return err
}

// proposeAndWait proposes an entry of the leader's own and waits for its result.
func (n *Node) proposeAndWait(ctx context.Context, entry []byte) (fsm.Result, error) {
	p, err := n.propose(ctx, entry, n.leading)
	if err != nil {
		return fsm.Result{}, err
	}
	r, err := p.Wait(ctx)
	if err != nil {
		return fsm.Result{}, err
	}
	return r, r.Err
}
