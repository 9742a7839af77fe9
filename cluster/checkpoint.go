package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/leasehold/leasehold/fsm"
)

// keepCheckpoints has all nodes compare what they have applied, again and again, as long as something is applied.
func (n *Node) keepCheckpoints(ctx context.Context) {
	for pause(ctx, n.cfg.CheckpointInterval) {
		if _, due := n.sm.Checkpoint(); !due {
			continue
		}
		level := slog.LevelInfo
		err := n.checkpoint(ctx)
		if errors.Is(err, errSplit) {
			level = slog.LevelError
		}
		if err != nil && ctx.Err() == nil {
			n.log.Log(ctx, level, "checkpoint is not proposed", "error", err)
		}
	}
}

// checkpoint asks the voters for their newest checkpoints and proposes what a majority of them has. A leader that has another
// itself has diverged, not they.
func (n *Node) checkpoint(ctx context.Context) error {
	voters := slices.DeleteFunc(n.Members(), func(m Member) bool { return !m.Voter })
	held := map[fsm.Checkpoint]int{}
	for d := range n.describeAll(ctx, voters) {
		if d.Checkpoint.Index != 0 {
			held[d.Checkpoint]++
		}
	}
	agreed, ok := majority(held, len(voters))
	if !ok {
		return fmt.Errorf("no majority of %d voters has one: %w", len(voters), disagreement(held))
	}
	if n.sm.Applied() < agreed.Index {
		return fmt.Errorf("a majority has applied log entry %d, this node not yet", agreed.Index)
	}
	own, _ := n.sm.Checkpoint() // not the one from before the others were asked: a proposal of unknown outcome may have made it old
	if err := own.Check(agreed); err != nil {
		n.Diverged(err)
		return err
	}
	if own != agreed {
		return nil // all have gone on: next time
	}
	_, err := n.proposeAndWait(ctx, fsm.AppendCheckpoint(nil, agreed))
	return err
}

// majority is the checkpoint that more than half of the voters have.
func majority(held map[fsm.Checkpoint]int, voters int) (fsm.Checkpoint, bool) {
	for c, n := range held {
		if n > voters/2 {
			return c, true
		}
	}
	return fsm.Checkpoint{}, false
}

// What keeps voters from having one checkpoint.
var (
	errBehind = errors.New("some do not answer or are behind")
	errSplit  = errors.New("voters have applied different entries and no majority tells which are right: compare the nodes (leasehold status --state-hash), stop those that are wrong and empty their data directories")
)

// disagreement is why there is no majority: two hashes at one index cannot both be right.
func disagreement(held map[fsm.Checkpoint]int) error {
	at := map[uint64]bool{}
	for c := range held {
		if at[c.Index] {
			return fmt.Errorf("%w: checkpoints and how many voters have them: %v", errSplit, held)
		}
		at[c.Index] = true
	}
	return errBehind
}
