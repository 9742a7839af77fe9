package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
)

// divergedFile is in the data directory of a node that took itself out: it says why. While it is there the node does not start.
const divergedFile = "diverged.txt"

// Diverged takes the node out: it is called, on any goroutine, when its state machine is found to have applied other entries than
// a majority of the voters, with an error that wraps fsm.ErrDiverged. When it returns, the node gives no views and no read
// indexes, takes no proposals and makes no snapshots any more, and does not start again on its data directory. Run hands over
// leadership and ends with the error.
func (n *Node) Diverged(err error) {
	err = fmt.Errorf("data directory %q: node %s: %w: the node takes itself out; empty the directory so that it joins anew under a new id", n.cfg.DataDir, n.ID(), err)
	if !n.diverged.CompareAndSwap(nil, &err) {
		return
	}
	n.changed.tell()
	n.log.Error("node has diverged from its cluster", "error", err)
	if serr := replaceFile(filepath.Join(n.cfg.DataDir, divergedFile), []byte(err.Error()+"\n")); serr != nil {
		err = errors.Join(err, fmt.Errorf("note in the data directory that the node has diverged: %w", serr))
	}
	n.fail(err)
}

// divergence is why nothing may be served from this node any more; nil for a node that has not diverged.
func (n *Node) divergence() error {
	if err := n.diverged.Load(); err != nil {
		return *err
	}
	return nil
}

// sound refuses a data directory whose node took itself out.
func sound(dir string) error {
	why, err := os.ReadFile(filepath.Join(dir, divergedFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look whether the node has diverged: %w", err)
	}
	return fmt.Errorf("node has %w: empty %q so that the node joins anew under a new id; %s says: %.1000s", fsm.ErrDiverged, dir, divergedFile, why)
}

// shown is the state machine's view, unless nothing may be shown any more. It looks last: what was found out before the view was
// taken counts.
func (n *Node) shown() (binding.History, error) {
	v := n.sm.View()
	if err := n.divergence(); err != nil {
		v.Release()
		return nil, err
	}
	return v, nil
}
