package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// planFile says, in the data directory, that a recovery was begun. While it is there the node does not start.
const planFile = "recovery.json"

// plan is what a recovery will do.
type plan struct {
	OldID   string `json:"old_id"`
	NewID   string `json:"new_id"`
	Address string `json:"address"` // of this node, as the membership carries it
	Backup  string `json:"backup"`
}

// servers is the recovered cluster's membership.
func (p *plan) servers() []raft.Server {
	return []raft.Server{{ID: raft.ServerID(p.NewID), Address: raft.ServerAddress(p.Address), Suffrage: raft.Voter}}
}

func (p *plan) save(dir string) error {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("encode plan of recovery: %w", err)
	}
	if err := replaceFile(filepath.Join(dir, planFile), append(b, '\n')); err != nil {
		return fmt.Errorf("save plan of recovery: %w", err)
	}
	return nil
}

// readPlan is the plan of a recovery that was broken off; nil when there is none.
func readPlan(dir string) (*plan, error) {
	path := filepath.Join(dir, planFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read plan of recovery: %w", err)
	}
	var p plan
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("read plan of recovery %q: %w", path, err)
	}
	if !validUUID(p.OldID) || !validUUID(p.NewID) || p.Address == "" {
		return nil, fmt.Errorf("read plan of recovery %q: it has no ids or no address: restore %q from the copy that is beside it, and remove the plan", path, dir)
	}
	return &p, nil
}

// newPlan makes this node the one voter of a cluster of its own, under a new id.
func newPlan(r Recovery, i Inspection) (*plan, error) {
	self := JoinRequest{ID: i.NodeID, Name: r.Name, RaftAddress: r.RaftAddress, GRPCAddress: r.GRPCAddress}
	if err := self.check(); err != nil {
		return nil, err
	}
	if err := r.everyOther(i); err != nil {
		return nil, err
	}
	return &plan{OldID: i.NodeID, NewID: formatUUID(newUUID()), Address: string(self.place().address())}, nil
}

// everyOther refuses a recovery that does not name every other member as given up, and nobody else: who is lost is the operator's
// word, and must not be a slip.
func (r *Recovery) everyOther(i Inspection) error {
	lost := map[string]bool{}
	for _, name := range r.Lost {
		m, err := lookup(i.Members, name)
		switch {
		case err != nil:
			return fmt.Errorf("lost %s: %w", name, err)
		case m.ID == i.NodeID:
			return fmt.Errorf("%w: %s is this node: a recovery is done on the node that goes on", ErrInvalid, name)
		}
		lost[m.ID] = true
	}
	for _, m := range i.Members {
		if m.ID != i.NodeID && !lost[m.ID] {
			return fmt.Errorf("%w: %s (%s) is not named as lost: name every other member", ErrInvalid, m.Name, m.ID)
		}
	}
	return nil
}
