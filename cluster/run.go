package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/cluster/transport"
)

// leadershipQueue buffers Raft's news of leadership: Raft's main loop waits when it is full.
const leadershipQueue = 64

// Run opens the log, restores the newest snapshot and takes part in the cluster until ctx ends or the node cannot go on. Then
// it hands over leadership, waits for what is under way and closes everything. It returns nil when ctx ended it, and the
// reason otherwise: an error of the log's disk, or a log that belongs to another cluster.
func (n *Node) Run(ctx context.Context) (err error) {
	watch, endWatch := context.WithCancel(context.WithoutCancel(ctx))
	var watching sync.WaitGroup
	watching.Go(func() { n.watchReadiness(watch) })
	defer func() {
		endWatch()
		watching.Wait()
	}()
	st, err := openStores(n.cfg.DataDir, n.log, n.fail)
	if err != nil {
		return errors.Join(err, n.deps.Listener.Close())
	}
	defer func() {
		if cerr := st.bolt.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("close raft log: %w", cerr))
		}
	}()
	n.stores = st
	if err := n.look(); err != nil {
		return errors.Join(err, n.deps.Listener.Close())
	}
	layer, err := transport.NewLayer(n.deps.Listener, string(n.ownPlace().address()), n.cfg.ClusterName, n.ID(), n.log)
	if err != nil {
		return errors.Join(err, n.deps.Listener.Close())
	}
	tr := transport.New(layer, raftLogger(n.log))
	tr.Hold(func() bool { return st.log.disk.stalled() > diskPatience*n.cfg.ElectionTimeout })
	defer func() { err = errors.Join(err, tr.Close()) }()
	notify := make(chan bool, leadershipQueue)
	r, err := n.startRaft(tr, notify)
	if err != nil {
		return err
	}
	n.hangUp = tr.HangUp
	n.raft.Store(r)
	n.changed.tell()
	return n.serve(ctx, r, notify)
}

// look finds out whether the node has state, and notes that it has a log from now on: what it does with it may bind it.
func (n *Node) look() error {
	has, err := n.stores.hasState()
	if err != nil {
		return err
	}
	n.hasState.Store(has)
	if err := n.setIdentity(func(id *Identity) { id.HasLog = true }); err != nil {
		return err
	}
	return n.announce()
}

// commitTimeout is how long the leader waits for another entry before it tells its followers what has been committed. Until they are told,
// a follower has a read wait, once a second even when nothing happens but time; raft's own 50 ms would be felt in every hundredth answer.
const commitTimeout = 10 * time.Millisecond

func (n *Node) startRaft(tr *transport.Transport, notify chan<- bool) (*raft.Raft, error) {
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(n.ID())
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = n.cfg.HeartbeatTimeout, n.cfg.ElectionTimeout, n.cfg.LeaderLease
	conf.SnapshotThreshold, conf.SnapshotInterval, conf.TrailingLogs = n.cfg.SnapshotThreshold, n.cfg.SnapshotInterval, n.cfg.TrailingLogs
	conf.MaxAppendEntries = n.cfg.MaxAppendEntries
	conf.CommitTimeout = commitTimeout
	conf.BatchApplyCh = true // one disk write for all that wait; MaxInFlight bounds them
	conf.ShutdownOnRemove = false
	conf.NoLegacyTelemetry = true
	conf.NotifyCh = notify
	conf.Logger = raftLogger(n.log)
	var link raft.Transport = tr
	if n.deps.Intercept != nil {
		link = n.deps.Intercept(tr)
	}
	machine := guarded{n.sm, n, new(error)}
	r, err := n.stores.start(n.cfg.DataDir, func() (*raft.Raft, error) {
		return raft.NewRaft(conf, machine, n.stores.cached, n.stores.stable, n.stores.snapshots, link)
	})
	if err != nil && *machine.unread != nil { // nothing is damaged: what else err says to do is wrong
		return nil, fmt.Errorf("start raft on %q: %w; the directory stays as it is", n.cfg.DataDir, *machine.unread)
	}
	return r, err
}

// serve runs the node's loops until ctx ends or one of them fails, then stops.
func (n *Node) serve(ctx context.Context, r *raft.Raft, notify <-chan bool) error {
	loops, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	handing, endHanding := context.WithCancel(ctx)
	defer endHanding()
	var running, settling, giving sync.WaitGroup
	settled := make(chan struct{})
	settling.Go(func() { n.proposer.run(settled) })
	for _, loop := range []func(context.Context){
		func(ctx context.Context) { n.followLeadership(ctx, notify) },
		n.watchLeader, n.reads.run, n.proofs.run, n.prove, n.belong, n.snapshotByBytes, n.discover,
	} {
		running.Go(func() { loop(loops) })
	}
	giving.Go(func() { n.giveAway(handing) })
	var cause error
	select {
	case <-ctx.Done():
		cause = n.divergence() // found in the same moment, perhaps
	case cause = <-n.fatal:
		n.log.Error("node cannot go on", "error", cause)
	}
	n.Drain()
	endHanding()
	giving.Wait()
	err := n.stop(r)
	cancel()
	running.Wait()
	close(settled)
	if err == nil {
		settling.Wait() // every future was answered before Raft was shut down
	}
	return errors.Join(cause, err)
}

// stop hands over leadership, waits until nothing is in flight and shuts Raft down.
func (n *Node) stop(r *raft.Raft) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), n.cfg.ShutdownTimeout, errors.New("shutdown timeout"))
	defer cancel()
	if r.State() == raft.Leader {
		if _, err := n.transfer(ctx, ""); err != nil && !errors.Is(err, ErrNoMember) && !errors.Is(err, ErrNotLeader) {
			n.log.Warn("stopping without handing over leadership", "error", err)
		}
	}
	n.stopping.Store(true)
	drained := n.proposer.drained(ctx)
	n.parting(r)
	n.stores.snapshots.ending.Store(true) // Raft waits for one that is being written or received
	ended := r.Shutdown()
	n.hangUp() // Raft waits for its goroutines, and they for peers that may be gone
	if err := ended.Error(); err != nil {
		return fmt.Errorf("shut down raft: %w", err)
	}
	if drained != nil {
		return fmt.Errorf("%d proposals unanswered: %w", n.proposer.waiting.Load(), drained)
	}
	return nil
}

// What a planned stop spends so that the next start is quick.
const (
	partingLog  = 8 << 20          // octets of log since the newest snapshot that are worth another
	partingTime = 15 * time.Second // how long that may take, and one that is under way already
)

// called is the future of a call that may itself wait: that for a snapshot does while another is written.
type called func() raft.SnapshotFuture

// Error calls and waits.
func (c called) Error() error { return c().Error() }

// parting takes a snapshot before a planned stop if the log has grown: the node restores that faster than it would replay the log.
func (n *Node) parting(r *raft.Raft) {
	if n.stores.log.bytes.Load() < partingLog || n.stores.log.disk.told.Load() != nil {
		return
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), partingTime, errors.New("snapshot takes too long"))
	defer cancel()
	if err := await(ctx, called(r.Snapshot)); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		n.log.Info("stopping without a snapshot", "error", err)
	}
}

// discover runs the gossip. A node whose gossip fails goes on without: it is only advice.
func (n *Node) discover(ctx context.Context) {
	if n.deps.Discovery == nil {
		return
	}
	for ctx.Err() == nil {
		if err := n.deps.Discovery.Run(ctx); err != nil && ctx.Err() == nil {
			n.log.Error("gossip ended; it is tried again", "error", err)
		}
		pause(ctx, n.cfg.JoinInterval)
	}
}

// watchLeader wakes those who wait for a leader.
func (n *Node) watchLeader(ctx context.Context) {
	news := make(chan raft.Observation, 16)
	o := raft.NewObserver(news, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	r := n.raft.Load()
	r.RegisterObserver(o)
	defer r.DeregisterObserver(o)
	for {
		select {
		case <-news:
			n.changed.tell()
		case <-ctx.Done():
			return
		}
	}
}

// snapshotByBytes takes a snapshot when the log has grown by so many octets: Raft counts only entries.
func (n *Node) snapshotByBytes(ctx context.Context) {
	for pause(ctx, time.Second) {
		due, err := n.stores.snapshotDue(n.cfg.SnapshotBytes)
		if err != nil {
			n.log.Warn("snapshot is not taken", "error", err)
		}
		if !due {
			continue
		}
		// Shortly after a change of the membership there can be none: it is tried again.
		if err := await(ctx, n.raft.Load().Snapshot()); err != nil && ctx.Err() == nil {
			n.log.Debug("no snapshot yet", "error", err)
		}
	}
}

// pause waits for d, or returns false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// await waits for a future of Raft's. It returns ctx's error when ctx ends first; the outcome is then unknown, and a goroutine
// waits on for the answer, which Raft gives at the latest when it is shut down.
func await(ctx context.Context, f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
