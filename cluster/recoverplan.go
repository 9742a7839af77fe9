package cluster

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
)

// planFile says, in the data directory, that a recovery was begun. While it is there the node does not start.
const planFile = "recovery.json"

// plan is what a recovery will do.
type plan struct {
	OldID  string    `json:"old_id"`
	NewID  string    `json:"new_id"`
	Voters []planned `json:"voters"`
	Backup string    `json:"backup"`
}

// planned is a voter of the recovered cluster.
type planned struct {
	OldID   string `json:"old_id"`
	ID      string `json:"id"`
	Address string `json:"address"` // as the membership carries it
}

func (p *plan) servers() []raft.Server {
	out := make([]raft.Server, len(p.Voters))
	for i, v := range p.Voters {
		out[i] = raft.Server{ID: raft.ServerID(v.ID), Address: raft.ServerAddress(v.Address), Suffrage: raft.Voter}
	}
	return out
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
	if !validUUID(p.OldID) || !validUUID(p.NewID) || len(p.Voters) == 0 {
		return nil, fmt.Errorf("read plan of recovery %q: it has no ids or no voters: restore %q from the copy that is beside it, and remove the plan", path, dir)
	}
	return &p, nil
}

// newPlan makes the survivors voters of a cluster of their own, under new ids.
func newPlan(r Recovery, i Inspection, servers []raft.Server) (*plan, error) {
	survivors, err := r.pick(i)
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(survivors))
	for id := range survivors {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	p := &plan{OldID: i.NodeID, NewID: survivorID(i.ClusterID, ids, i.NodeID)}
	taken := map[string]string{}
	for _, id := range ids {
		s, _ := find(servers, id)
		at := placeOf(s.Address)
		if moved := survivors[id]; moved.raft != "" {
			at.raft, at.grpc = moved.raft, moved.grpc
		}
		if other, twice := taken[at.raft]; twice {
			return nil, fmt.Errorf("%w: %s and %s would both be at raft address %s", ErrInvalid, other, at.name, at.raft)
		}
		taken[at.raft] = at.name
		p.Voters = append(p.Voters, planned{OldID: id, ID: survivorID(i.ClusterID, ids, id), Address: string(at.address())})
	}
	return p, nil
}

// pick is who survives, by id, with where one has moved. Every member must be named as one or the other: who is lost is the
// operator's word, and must not be a slip.
func (r *Recovery) pick(i Inspection) (map[string]place, error) {
	survivors, lost := map[string]place{}, map[string]bool{}
	for _, s := range r.Survivors {
		name, at, _ := strings.Cut(s, "=")
		m, err := lookup(i.Members, name)
		if err != nil {
			return nil, fmt.Errorf("survivor %s: %w", name, err)
		}
		p := placeOf(raft.ServerAddress(at))
		if at != "" {
			j := JoinRequest{ID: m.ID, RaftAddress: p.raft, GRPCAddress: p.grpc}
			if err := j.check(); err != nil {
				return nil, fmt.Errorf("survivor %s: %w: want NAME=RAFT/GRPC, each host:port", name, err)
			}
		}
		survivors[m.ID] = p
	}
	for _, name := range r.Lost {
		m, err := lookup(i.Members, name)
		switch {
		case errors.Is(err, ErrNoMember): // another survivor may know of a member that this one does not
			continue
		case err != nil:
			return nil, fmt.Errorf("lost %s: %w", name, err)
		}
		lost[m.ID] = true
	}
	if _, self := survivors[i.NodeID]; !self {
		return nil, fmt.Errorf("%w: this node, %s, is not named as a survivor: a recovery is done on each survivor, for all of them", ErrInvalid, i.NodeID)
	}
	for _, m := range i.Members {
		_, survives := survivors[m.ID]
		switch {
		case survives && lost[m.ID]:
			return nil, fmt.Errorf("%w: %s is named both as survivor and as lost", ErrInvalid, m.Name)
		case !survives && !lost[m.ID]:
			return nil, fmt.Errorf("%w: %s (%s) is named neither as survivor nor as lost: name every member", ErrInvalid, m.Name, m.ID)
		}
	}
	return survivors, nil
}

// survivorID is a survivor's new id: a UUID of version 8 (RFC 9562 5.8) made of its old id and those of all survivors. sorted
// are those.
func survivorID(clusterID string, sorted []string, old string) string {
	sum := sha256.Sum256([]byte("leasehold recovery\n" + clusterID + "\n" + strings.Join(sorted, "\n") + "\nof " + old))
	u := [16]byte(sum[:16])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return formatUUID(u)
}
