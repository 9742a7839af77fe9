package transport

import (
	"io"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"
)

// loopAlarm is how many snapshots a server is sent, one after the other and none of any use, before somebody is told.
const loopAlarm = 3

// loops notices servers that are sent snapshots again and again and never catch up: the log no longer reaches back to a
// snapshot when it has arrived, or the server keeps entries that conflict with what is behind it (hashicorp/raft#697).
type loops struct {
	logger hclog.Logger

	mu   sync.Mutex
	sent map[raft.ServerID]int // whole snapshots since the server last took an entry
}

// snapshot notes a snapshot that was sent whole, and tells once an episode.
func (l *loops) snapshot(to raft.ServerID, index uint64, size int64) {
	l.mu.Lock()
	l.sent[to]++
	n := l.sent[to]
	l.mu.Unlock()
	if n != loopAlarm {
		return
	}
	metrics.IncrCounterWithLabels([]string{"raft", "transport", "snapshot_loop"}, 1, []metrics.Label{{Name: "peer_id", Value: string(to)}})
	l.logger.Error("a node is sent snapshots again and again and does not catch up: keep more of the log (trailing_logs), or, if its log is at odds with the cluster's, "+
		"empty its directory so that it joins anew", "peer", to, "snapshots", n, "index", index, "octets", size)
}

// entries notes that a server took an entry.
func (l *loops) entries(by raft.ServerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n, ok := l.sent[by]; ok {
		delete(l.sent, by)
		if n >= loopAlarm {
			l.logger.Info("the node that was sent snapshots again and again has caught up", "peer", by, "snapshots", n)
		}
	}
}

// counted counts what is read.
type counted struct {
	io.Reader
	n int64
}

// Read reads.
func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	return n, err
}
