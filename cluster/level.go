package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/leasehold/leasehold/fsm"
)

// ErrTooOld says that a node cannot read what the cluster writes: it needs a newer version.
var ErrTooOld = errors.New("version too old for the cluster")

// levelTold is a format level as a node tells it: one that knows of no levels says nothing, and reads the first.
func levelTold(level uint32) uint32 { return max(level, fsm.FirstLevel) }

// canRead refuses a node that cannot read what the log says from now on.
func (n *Node) canRead(r JoinRequest) error {
	if reads, active := levelTold(r.MaxLevel), n.sm.Level(); reads < active {
		return fmt.Errorf("%w: node %s (%s) reads format levels up to %d, the cluster is at level %d: run the version that the others run",
			ErrTooOld, r.Name, r.ID, reads, active)
	}
	return nil
}

// raiseLevel makes the highest format level active that every member reads, as soon as all do. Until then nothing of it is
// written, so that members of the version before go on, and newer ones can go back to it.
func (n *Node) raiseLevel(ctx context.Context) {
	last := ""
	for n.sm.Level() < n.sm.MaxLevel() {
		if err := n.raiseOnce(ctx); err != nil && ctx.Err() == nil && err.Error() != last { // the same reason is told once
			last = err.Error()
			n.log.Info("format level stays", "level", n.sm.Level(), "this_node_reads", n.sm.MaxLevel(), "reason", err)
		}
		if !pause(ctx, n.cfg.AdmitInterval) {
			return
		}
	}
}

// raiseOnce looks, and looks again when nobody can be admitted meanwhile: members that do not answer must not hold up those who
// want to join.
func (n *Node) raiseOnce(ctx context.Context) error {
	if _, err := n.readByAll(ctx); err != nil {
		return err
	}
	n.admission.Lock()
	defer n.admission.Unlock()
	level, err := n.readByAll(ctx)
	if err != nil {
		return err
	}
	if _, err := n.proposeAndWait(ctx, fsm.AppendLevel(nil, level)); err != nil {
		return err
	}
	n.log.Info("format level is raised: older versions can take part no more", "level", level)
	return nil
}

// readByAll is the highest level that every member reads, asked of each just now, if it is above the active one.
func (n *Node) readByAll(ctx context.Context) (uint32, error) {
	level, active := n.sm.MaxLevel(), n.sm.Level()
	members := n.Members()
	silent := map[string]string{}
	for _, m := range members {
		silent[m.ID] = m.Name
	}
	lowest := ""
	for d := range n.describeAll(ctx, members) {
		delete(silent, d.Member.ID)
		if reads := levelTold(d.MaxLevel); reads < level {
			level, lowest = reads, d.Member.Name
		}
	}
	for id, name := range silent {
		return 0, fmt.Errorf("member %s (%s) does not answer", name, id)
	}
	if level <= active || len(members) == 0 {
		return 0, fmt.Errorf("member %q reads levels up to %d", lowest, level)
	}
	return level, nil
}
