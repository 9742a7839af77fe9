package cluster

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/raft"
)

// snapshotPatience is for how long a snapshot that Raft does not take just now is tried again: shortly after a change of the
// membership there can be none before the next entry.
const snapshotPatience = 5 * time.Second

// Snapshot takes a snapshot of this node's state and opens it: what fsm.VerifySnapshot and Restore read. If it is consistent it has
// everything that was committed before the call, else what this node has. It becomes the node's own newest snapshot, on its disk, so
// that a slow reader keeps no state in memory. The caller closes it. Errors are those of View, or say why Raft takes no snapshot. ctx
// bounds the taking, not the reading.
func (n *Node) Snapshot(ctx context.Context, consistent bool) (io.ReadCloser, error) {
	if consistent {
		if err := n.catchUp(ctx); err != nil {
			return nil, err
		}
	}
	r := n.raft.Load()
	if r == nil {
		return nil, fmt.Errorf("take snapshot: %w", ErrNotRunning)
	}
	for begun := n.instant(); ; {
		future := r.Snapshot()
		err := await(ctx, future)
		if err == nil {
			return openSnapshot(future)
		}
		if derr := n.divergence(); derr != nil {
			return nil, fmt.Errorf("take snapshot: %w", derr)
		}
		if n.instant()-begun > snapshotPatience || !pause(ctx, retryPause) {
			return nil, fmt.Errorf("take snapshot: %w", err)
		}
	}
}

func openSnapshot(future raft.SnapshotFuture) (io.ReadCloser, error) {
	_, r, err := future.Open()
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	return r, nil
}
