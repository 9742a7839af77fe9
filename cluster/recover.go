package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
)

// Recovery says from which node a cluster that has lost its quorum for good goes on.
type Recovery struct {
	DataDir     string // of this node, which is stopped
	Name        string
	RaftAddress string   // host:port at which this node will be dialled
	GRPCAddress string   // host:port
	Lost        []string // every other member, by name or id: gone for good, or a survivor that is emptied and joins anew
	Peers       Peers    // asks whether the others really do not answer; nil: nobody is asked
}

// Recovered is what a recovery did.
type Recovered struct {
	OldID, NewID string
	Backup       string       // the folder that has everything as it was before
	LastIndex    uint64       // the newest entry; it counts as committed now, as everything before it
	HistorySince binding.Time // where the history begins from now on: see fsm.FSM.Succeed
	Members      []Member     // the membership from now on: this node, with a vote
}

// Recover makes one survivor of a cluster that lost its quorum a cluster of its own, which others then join. It is done offline, on
// the survivor with the newest log: of the highest last term, and among those of the highest last index. That log has whatever
// was committed and is on any survivor. What the node has counts as committed from then on, whether a quorum ever had it or not;
// what only the lost members had is gone. Since subscribers and feeders may know of that, the history begins anew and no feeder's
// epoch is known any more.
//
// Only one log goes on: two survivors may have different entries at one index, of which neither was committed, and a snapshot
// of either would have them all for good.
//
// The survivor becomes a new server, of a new id. A member that was thought lost and comes back with its old log still believes
// in the old quorum, but it can neither reach nor disturb this node: Raft connections name whom they are for.
//
// A recovery that was broken off is ended by the next call, as it was begun.
func Recover(ctx context.Context, r Recovery, logger *slog.Logger) (_ Recovered, err error) {
	id, st, err := openStopped(r.DataDir, logger)
	if err != nil {
		return Recovered{}, fmt.Errorf("recover: %w", err)
	}
	defer func() { err = errors.Join(err, st.bolt.Close()) }()
	if err := sound(r.DataDir); err != nil {
		return Recovered{}, fmt.Errorf("recover: %w", err)
	}
	plan, err := readPlan(r.DataDir)
	if err != nil {
		return Recovered{}, fmt.Errorf("recover: %w", err)
	}
	if plan == nil {
		if plan, err = begin(ctx, r, id, st); err != nil {
			return Recovered{}, fmt.Errorf("recover: %w", err)
		}
	}
	last, since, err := carryOut(r.DataDir, plan, id, st, logger)
	if err != nil {
		return Recovered{}, fmt.Errorf("recover: %w: the state from before is in %q", err, plan.Backup)
	}
	return Recovered{OldID: plan.OldID, NewID: plan.NewID, Backup: plan.Backup, LastIndex: last, HistorySince: since,
		Members: offlineMembers(plan.servers())}, nil
}

// begin decides what will be done, keeps a copy of what there is, and notes the plan.
func begin(ctx context.Context, r Recovery, id Identity, st *stores) (*plan, error) {
	i, err := inspect(id, st)
	if err != nil {
		return nil, err
	}
	p, err := newPlan(r, i)
	if err != nil {
		return nil, err
	}
	if err := r.areLost(ctx, i); err != nil {
		return nil, err
	}
	p.Backup = filepath.Join(r.DataDir, "before-recovery-"+time.Now().UTC().Format("20060102T150405.000Z"))
	if err := backup(r.DataDir, p.Backup); err != nil {
		return nil, errors.Join(fmt.Errorf("keep a copy of what there is: %w: nothing was changed", err), os.RemoveAll(p.Backup))
	}
	return p, p.save(r.DataDir)
}

// areLost refuses to give up members that answer, and to begin a second cluster beside one that was recovered already.
func (r *Recovery) areLost(ctx context.Context, i Inspection) error {
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	for _, m := range i.Members {
		if r.Peers == nil || m.GRPCAddress == "" || m.ID == i.NodeID {
			continue
		}
		d, err := r.Peers.Describe(ctx, m.GRPCAddress, false)
		switch {
		case err != nil: // nobody is there
		case d.NodeID == m.ID:
			return fmt.Errorf("%w: %s (%s) is named as lost but answers at %s, as %s: bring it back into the cluster, or stop it", ErrInvalid,
				m.Name, m.ID, m.GRPCAddress, d.State)
		case d.ClusterID == i.ClusterID && d.ClusterID != "":
			return fmt.Errorf("%w: at the address of %s, %s, is node %s of the same cluster, which goes on from there already: empty this node's data directory, "+
				"and it joins anew", ErrInvalid, m.Name, m.GRPCAddress, d.NodeID)
		}
	}
	return nil
}

// carryOut does what was planned. It may be repeated. last is the newest entry, since where the history begins.
func carryOut(dir string, p *plan, id Identity, st *stores, logger *slog.Logger) (last uint64, since binding.Time, err error) {
	if since, err = rewrite(p, st, logger); err != nil {
		return 0, 0, err
	}
	i, err := inspect(id, st)
	if err != nil {
		return 0, 0, err
	}
	id.NodeID, id.HasLog = p.NewID, true
	if err := id.save(dir); err != nil {
		return 0, 0, err
	}
	if err := os.Remove(filepath.Join(dir, planFile)); err != nil {
		return 0, 0, fmt.Errorf("end recovery: %w", err)
	}
	return i.LastIndex, since, syncDir(dir)
}

// errHalted is thrown by the state machine of a recovery at an entry that it cannot apply.
type errHalted struct{ error }

// rewrite has Raft put everything that there is into a snapshot with the new membership, and empty the log. It returns where the
// history begins.
func rewrite(p *plan, st *stores, logger *slog.Logger) (since binding.Time, err error) {
	defer func() {
		switch x := recover().(type) {
		case nil:
		case errHalted: // nothing was written yet: entries are applied first
			err = fmt.Errorf("the log of this node cannot be applied: %w", x.error)
		default:
			panic(x)
		}
	}()
	refuse := func(err error) { panic(errHalted{err}) }
	machine := &lossy{FSM: fsm.New(fsm.Config{Logger: logger, Halt: refuse, Diverged: refuse})}
	conf := raft.DefaultConfig()
	conf.LocalID, conf.Logger, conf.NoLegacyTelemetry = raft.ServerID(p.NewID), raftLogger(logger), true
	_, tr := raft.NewInmemTransport("") // only to write addresses; nothing is sent
	defer func() { err = errors.Join(err, tr.Close()) }()
	if err := raft.RecoverCluster(conf, machine, st.log, st.stable, st.snapshots, tr, raft.Configuration{Servers: p.servers()}); err != nil {
		return 0, fmt.Errorf("rewrite raft log and snapshots: %w", err)
	}
	return machine.succession.HistorySince, nil
}
