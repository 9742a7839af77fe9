package transport

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// halted sends its first octets, says so, and then nothing until it is let go.
type halted struct {
	first io.Reader
	begun chan struct{}
	once  sync.Once
	end   chan struct{}
}

func (h *halted) Read(b []byte) (int, error) {
	if n, err := h.first.Read(b); n > 0 {
		return n, err
	}
	h.once.Do(func() { close(h.begun) })
	<-h.end
	return 0, io.ErrUnexpectedEOF
}

// TestStalledSnapshotEnds has a leader stop in the middle of a snapshot, as one that is stopped with SIGSTOP does: its
// connection stays, its kernel goes on to answer. The receiver gives up, and at once when it then drains the stream, as Raft
// does. A connection that is merely idle for as long stays.
func TestStalledSnapshotEnds(t *testing.T) {
	from := newTestTransport(t, "c", "a")
	layer := newTestLayer(t, "c", "b")
	layer.stall = 100 * time.Millisecond
	to := New(layer, hclog.NewNullLogger())
	defer to.Close()
	type outcome struct{ copied, drained error }
	got := make(chan outcome, 1)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case rpc := <-to.Consumer():
				if rpc.Reader == nil {
					rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
					continue
				}
				_, err := io.Copy(io.Discard, rpc.Reader)
				_, again := io.Copy(io.Discard, rpc.Reader)
				rpc.Respond(&raft.InstallSnapshotResponse{}, err)
				got <- outcome{err, again}
			case <-done:
				return
			}
		}
	}()
	heartbeat := func() error {
		var resp raft.AppendEntriesResponse
		return from.AppendEntries("b", to.LocalAddr(), &raft.AppendEntriesRequest{Term: 1}, &resp)
	}
	if err := heartbeat(); err != nil { // leaves an idle connection behind
		t.Fatal(err)
	}
	h := &halted{first: bytes.NewReader(make([]byte, 1<<20)), begun: make(chan struct{}), end: make(chan struct{})}
	sent := make(chan error, 1)
	other := newTestTransport(t, "c", "x")
	go func() {
		var resp raft.InstallSnapshotResponse
		sent <- other.InstallSnapshot("b", to.LocalAddr(), &raft.InstallSnapshotRequest{Size: 2 << 20}, &resp, h)
	}()
	<-h.begun
	o := <-got
	if !errors.Is(o.copied, ErrStalled) || !errors.Is(o.drained, ErrStalled) {
		t.Errorf("the receiver of a stalled snapshot got %v, then %v; want %v", o.copied, o.drained, ErrStalled)
	}
	close(h.end)
	if err := <-sent; err == nil {
		t.Error("the sender of half a snapshot thinks that it was taken")
	}
	if n := openConns(layer); n == 0 {
		t.Error("an idle connection was closed")
	}
	if err := heartbeat(); err != nil {
		t.Errorf("message on a connection that was idle: %v", err)
	}
}

func openConns(l *Layer) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// TestSnapshotLoopIsToldOnce sends snapshots again and again: the third without an entry between is told, once, and again only
// after the receiver has caught up.
func TestSnapshotLoopIsToldOnce(t *testing.T) {
	var lines bytes.Buffer
	from := New(newTestLayer(t, "c", "a"), hclog.New(&hclog.LoggerOptions{Output: &lines}))
	defer from.Close()
	to := newTestTransport(t, "c", "b")
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case rpc := <-to.Consumer():
				if rpc.Reader == nil {
					rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
					continue
				}
				_, err := io.Copy(io.Discard, rpc.Reader)
				rpc.Respond(&raft.InstallSnapshotResponse{Success: true}, err)
			case <-done:
				return
			}
		}
	}()
	snapshot := func() {
		var resp raft.InstallSnapshotResponse
		if err := from.InstallSnapshot("b", to.LocalAddr(), &raft.InstallSnapshotRequest{Size: 4}, &resp, strings.NewReader("data")); err != nil {
			t.Fatal(err)
		}
	}
	catchUp := func(entries []*raft.Log) {
		var resp raft.AppendEntriesResponse
		if err := from.AppendEntries("b", to.LocalAddr(), &raft.AppendEntriesRequest{Entries: entries}, &resp); err != nil {
			t.Fatal(err)
		}
	}
	alarms := func() int { return strings.Count(lines.String(), "again and again and does not") }
	for i := range loopAlarm - 1 {
		snapshot()
		catchUp(nil) // a heartbeat proves nothing
		if alarms() != 0 {
			t.Errorf("alarm after %d snapshots", i+1)
		}
	}
	for range 3 {
		snapshot()
	}
	if alarms() != 1 {
		t.Errorf("%d alarms after %d snapshots, want 1", alarms(), loopAlarm+2)
	}
	for range 2 * loopAlarm { // caught up between: no loop
		catchUp([]*raft.Log{{Index: 1}})
		snapshot()
	}
	if alarms() != 1 || !strings.Contains(lines.String(), "has caught up") {
		t.Errorf("%d alarms after it caught up, want still 1: %s", alarms(), &lines)
	}
	snapshot()
	snapshot()
	if alarms() != 2 {
		t.Errorf("%d alarms in the second episode, want 2", alarms())
	}
}
