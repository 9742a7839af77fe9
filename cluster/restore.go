package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
)

// Restoration says where a cluster begins anew from a saved snapshot.
type Restoration struct {
	DataDir     string // of this node, which is stopped; missing or empty
	Name        string
	RaftAddress string // host:port at which this node will be dialled
	GRPCAddress string // host:port
}

// Restored is what a restoration did.
type Restored struct {
	NodeID       string
	ClusterID    string       // of the new cluster
	SavedCluster string       // the id of the cluster that the snapshot is of
	Index        uint64       // the newest entry in the snapshot; the new cluster's log goes on behind it
	Level        uint32       // the format level
	Saved        binding.Time // the closed time of the snapshot
	HistorySince binding.Time // where the history of the new cluster begins
	Bindings     uint64
	Members      []Member // this node, with a vote
}

// Restore founds a new cluster of one voter, this node, from a saved snapshot; others then join it with empty data directories. It is
// done offline. The new cluster has an id of its own, so that no node of the old one can take part in it, and the server DUID and
// settings of the old. Its history begins now, and no feeder's epoch is known: see fsm.FSM.Succeed.
//
// The snapshot is read whole and verified before anything is written. After an error nothing is left behind. A crash leaves a
// directory without an identity, in which no node starts. Errors wrap fsm.ErrCorrupt for a snapshot that is damaged, fsm.ErrVersion
// for one that a newer version wrote, ErrInvalid for a directory that is not empty or an address that is none.
func Restore(ctx context.Context, r Restoration, from io.Reader, logger *slog.Logger) (_ Restored, err error) {
	id := Identity{NodeID: formatUUID(newUUID()), ClusterID: formatUUID(newUUID()), HasLog: true}
	self := JoinRequest{ID: id.NodeID, Name: r.Name, RaftAddress: r.RaftAddress, GRPCAddress: r.GRPCAddress}
	if err := self.check(); err != nil {
		return Restored{}, fmt.Errorf("restore: %w", err)
	}
	made, err := emptyDir(r.DataDir)
	if err != nil {
		return Restored{}, fmt.Errorf("restore: %w", err)
	}
	machine, err := readState(ctx, from, id.ClusterID, logger)
	if err != nil {
		return Restored{}, fmt.Errorf("restore: %w: nothing was written", err)
	}
	done := Restored{NodeID: id.NodeID, ClusterID: id.ClusterID, SavedCluster: machine.Settings().ClusterID, Level: machine.Level(), Saved: machine.Clock()}
	servers := []raft.Server{{ID: raft.ServerID(id.NodeID), Address: self.place().address(), Suffrage: raft.Voter}}
	if err := establish(r.DataDir, id, machine, servers, logger); err != nil {
		return Restored{}, errors.Join(fmt.Errorf("restore: %w: nothing is left of it", err), clearDir(r.DataDir, made))
	}
	v := machine.View()
	defer v.Release()
	done.Index, done.HistorySince = machine.succession.Index, machine.succession.HistorySince
	done.Bindings, done.Members = v.Len(), offlineMembers(servers)
	return done, nil
}

// emptyDir refuses a directory that has something in it. missing: there is none, and whoever makes it may remove it.
func emptyDir(dir string) (missing bool, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("look into data directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" { // of a file system that is mounted here
			return false, fmt.Errorf("%w: data directory %q is not empty, it has %q: a cluster is restored into an empty one", ErrInvalid, dir, e.Name())
		}
	}
	return false, nil
}

// clearDir removes what a restoration that failed has made.
func clearDir(dir string, whole bool) error {
	if whole {
		return os.RemoveAll(dir)
	}
	var errs []error
	for _, name := range []string{identityFile, logFile, snapshotsDir} {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}

// readState reads a snapshot whole.
func readState(ctx context.Context, from io.Reader, clusterID string, logger *slog.Logger) (*lossy, error) {
	machine := &lossy{FSM: fsm.New(fsm.Config{Logger: logger}), clusterID: clusterID}
	if err := machine.Restore(io.NopCloser(untilDone{ctx, from})); err != nil {
		return nil, err
	}
	if machine.Settings().ClusterID == "" {
		return nil, fmt.Errorf("%w: the snapshot is of no cluster", fsm.ErrCorrupt)
	}
	return machine, nil
}

// untilDone reads until ctx ends.
type untilDone struct {
	ctx  context.Context
	from io.Reader
}

// Read reads on.
func (u untilDone) Read(b []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.from.Read(b)
}

// establish writes log, term, snapshot and, last, the identity.
func establish(dir string, id Identity, machine *lossy, servers []raft.Server, logger *slog.Logger) (err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	state, err := machine.Snapshot()
	if err != nil {
		return err
	}
	defer state.Release()
	st, err := openStores(dir, logger, func(error) {}) // whoever writes gets the error too
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.bolt.Close()) }()
	// Raft goes on with the term behind this one: entries behind the snapshot must not be of an older term than it.
	end := machine.succession
	if err := st.stable.SetUint64([]byte(keyCurrentTerm), end.Term); err != nil {
		return err
	}
	_, tr := raft.NewInmemTransport("") // only to write addresses; nothing is sent
	defer func() { err = errors.Join(err, tr.Close()) }()
	sink, err := st.snapshots.Create(raft.SnapshotVersionMax, end.Index, end.Term, raft.Configuration{Servers: servers}, 1, tr)
	if err != nil {
		return err
	}
	if err := state.Persist(sink); err != nil {
		return err
	}
	return id.save(dir)
}
