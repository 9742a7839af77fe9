package cluster

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The files of a data directory.
const (
	identityFile = "identity.json"
	logFile      = "raft.db"
	snapshotsDir = "snapshots"
	// PeersFile is where the last-known peers are kept, in the data directory.
	PeersFile = "peers.json"
)

// Identity is who a node is, for as long as it keeps its log. It stands beside the log, in identity.json.
type Identity struct {
	NodeID    string `json:"node_id"`              // a UUID: the Raft server id
	ClusterID string `json:"cluster_id,omitempty"` // set once the node has been a member
	HasLog    bool   `json:"has_log,omitempty"`    // set once the node had a Raft log: it may have voted
}

// newUUID is a random UUID (RFC 9562 5.4, version 4).
func newUUID() [16]byte {
	var u [16]byte
	rand.Read(u[:]) // never fails
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

func formatUUID(u [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func validUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') {
			return false
		} else if !dash && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// loadIdentity reads the identity in dir, or makes a new one in a directory that has neither identity nor log.
func loadIdentity(dir string) (Identity, error) {
	if plan, err := readPlan(dir); err != nil {
		return Identity{}, err
	} else if plan != nil {
		return Identity{}, fmt.Errorf("the recovery of %q was broken off: run leasehold recover again, which finishes it", dir)
	}
	id, err := readIdentity(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return newIdentity(dir)
	}
	return id, err
}

// readIdentity reads the identity in dir. An error wraps fs.ErrNotExist only when it has none.
func readIdentity(dir string) (Identity, error) {
	path := filepath.Join(dir, identityFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return Identity{}, fmt.Errorf("read node identity: %w", err)
	}
	var id Identity
	if err := json.Unmarshal(b, &id); err != nil {
		return Identity{}, fmt.Errorf("read node identity %q: %w: restore the file, or empty %q so that the node joins anew under a new id", path, err, dir)
	}
	if !validUUID(id.NodeID) {
		return Identity{}, fmt.Errorf("read node identity %q: node_id %q is not a UUID: restore the file, or empty %q so that the node joins anew under a new id", path, id.NodeID, dir)
	}
	if id.HasLog || id.ClusterID != "" {
		log := filepath.Join(dir, logFile)
		if _, err := os.Stat(log); errors.Is(err, fs.ErrNotExist) { // not wrapped: the identity is there
			return Identity{}, fmt.Errorf("%q says that node %s has a Raft log, but %q is gone: a node that forgot its votes must not vote again under its id. "+
				"Restore the log, or empty %q so that the node joins anew under a new id", path, id.NodeID, log, dir)
		} else if err != nil {
			return Identity{}, fmt.Errorf("look for raft log: %w", err)
		}
	}
	return id, nil
}

func newIdentity(dir string) (Identity, error) {
	for _, name := range []string{logFile, snapshotsDir} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return Identity{}, fmt.Errorf("%q is there but %q is not: nobody knows whose log it is. Restore %[2]q, or empty %q so that the node joins anew under a new id",
				filepath.Join(dir, name), filepath.Join(dir, identityFile), dir)
		}
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return Identity{}, fmt.Errorf("make data directory: %w", err)
	}
	id := Identity{NodeID: formatUUID(newUUID())}
	return id, id.save(dir)
}

// save writes the identity so that a crash leaves the old or the new one.
func (id Identity) save(dir string) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("encode node identity: %w", err)
	}
	if err := replaceFile(filepath.Join(dir, identityFile), append(b, '\n')); err != nil {
		return fmt.Errorf("save node identity: %w", err)
	}
	return nil
}

// replaceFile writes a file beside the old one, syncs it, renames it and syncs the directory.
func replaceFile(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
