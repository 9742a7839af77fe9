package membership

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// maxPeersFile bounds what is read of a peers file.
const maxPeersFile = 1 << 20

// readPeers reads the last-known peers; none when there is no file.
func readPeers(path string) ([]Peer, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read known peers: %w", err)
	}
	if info.Size() > maxPeersFile {
		return nil, fmt.Errorf("read known peers %q: %d octets, want at most %d", path, info.Size(), maxPeersFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read known peers: %w", err)
	}
	var peers []Peer
	if err := json.Unmarshal(b, &peers); err != nil {
		return nil, fmt.Errorf("read known peers %q: %w", path, err)
	}
	return peers, nil
}

// writePeers writes the peers beside the old file and renames it. It is advice, so it is not synced: what a crash loses is
// learned again.
func writePeers(path string, peers []Peer) error {
	b, err := json.MarshalIndent(peers, "", "  ")
	if err != nil {
		return fmt.Errorf("encode known peers: %w", err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o640); err != nil {
		return fmt.Errorf("write known peers: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write known peers: %w", err)
	}
	return nil
}
