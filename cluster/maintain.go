package cluster

import (
	"context"
	"time"

	"github.com/leasehold/leasehold/fsm"
)

// maintain proposes ticks: when nothing was proposed for a while, so that cluster time goes on, and when something is due to
// expire, to be swept or pruned, again and again until nothing is.
func (n *Node) maintain(ctx context.Context) {
	for {
		idle := n.instant() - time.Duration(n.proposer.last.Load())
		more := false
		if idle >= n.cfg.TickInterval || n.sm.MaintenanceDue() {
			more = n.tick(ctx)
		}
		if ctx.Err() != nil || (!more && !pause(ctx, max(n.cfg.TickInterval-idle, n.cfg.TickInterval/4))) {
			return
		}
	}
}

// tick proposes the time and tells whether maintenance was left to do.
func (n *Node) tick(ctx context.Context) (more bool) {
	r, err := n.proposeAndWait(ctx, fsm.AppendTick(nil, n.cfg.MaintainLimit))
	if err != nil {
		if ctx.Err() == nil {
			n.log.Debug("tick was not applied", "error", err)
			pause(ctx, retryPause)
		}
		return false
	}
	return r.More
}
