package transport

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Limits of the transport.
const (
	timeout          = 10 * time.Second // for one message to be written and answered
	timeoutScale     = 16 << 20         // octets of a snapshot for which a receiver gets another timeout
	maxPool          = 3                // idle connections kept per peer
	maxRPCsInFlight  = 2                // deeper pipelines only add latency (hashicorp/raft#541)
	handshakeTimeout = 5 * time.Second
)

// Transport is raft.NetworkTransport without the fast path for heartbeats. It keeps the pre-vote and the close of what it
// embeds: without WithPreVote Raft would silently do without pre-votes.
type Transport struct {
	*raft.NetworkTransport
	layer *Layer
	loops *loops
	hold  atomic.Pointer[func() bool]
}

var (
	_ raft.Transport   = (*Transport)(nil)
	_ raft.WithPreVote = (*Transport)(nil)
	_ raft.WithClose   = (*Transport)(nil)
)

// New starts a transport over the layer. Close it after Raft was shut down.
func New(layer *Layer, logger hclog.Logger) *Transport {
	t := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:                  layer,
		Logger:                  logger,
		MaxPool:                 maxPool,
		MaxRPCsInFlight:         maxRPCsInFlight,
		Timeout:                 timeout,
		MsgpackUseNewTimeFormat: true,
	})
	t.TimeoutScale = timeoutScale
	return &Transport{NetworkTransport: t, layer: layer, loops: &loops{logger: logger, sent: map[raft.ServerID]int{}}}
}

// SetHeartbeatHandler does nothing: heartbeats reach Raft's main loop through Consumer like every other message
// (hashicorp/raft#695).
func (t *Transport) SetHeartbeatHandler(func(raft.RPC)) {}

// ErrHeld is what Raft gets for a message of a leader that was not sent.
var ErrHeld = errors.New("not sent: the disk of the log stands still")

// Hold keeps the messages of a leader back while held says so. Raft's leader writes its log on the goroutine that leads, but
// sends heartbeats and entries from others: so one whose disk stands still would stay the leader of a cluster that can commit
// nothing, for as long as that takes. When the others hear nothing they elect another. held is called from many goroutines.
func (t *Transport) Hold(held func() bool) { t.hold.Store(&held) }

func (t *Transport) held() bool {
	held := t.hold.Load()
	return held != nil && (*held)()
}

// AddressEnd ends the host:port at the beginning of a server's address. What is behind it is the cluster's own.
const AddressEnd = "/"

// target is an address that says whom the connection is meant for: id@host:port, and perhaps more behind AddressEnd.
func target(id raft.ServerID, addr raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(id) + "@" + addr
}

func splitTarget(to raft.ServerAddress) (id, addr string) {
	id, addr, _ = strings.Cut(string(to), "@")
	addr, _, _ = strings.Cut(addr, AddressEnd)
	return id, addr
}

// AppendEntries sends entries, or a heartbeat, to the server with the id.
func (t *Transport) AppendEntries(id raft.ServerID, addr raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if t.held() {
		return ErrHeld
	}
	err := t.NetworkTransport.AppendEntries(id, target(id, addr), req, resp)
	if err == nil && resp.Success && len(req.Entries) > 0 {
		t.loops.entries(id)
	}
	return err
}

// RequestVote asks the server with the id for its vote.
func (t *Transport) RequestVote(id raft.ServerID, addr raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return t.NetworkTransport.RequestVote(id, target(id, addr), req, resp)
}

// RequestPreVote asks the server with the id whether it would vote.
func (t *Transport) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return t.NetworkTransport.RequestPreVote(id, target(id, addr), req, resp)
}

// InstallSnapshot streams a snapshot to the server with the id.
func (t *Transport) InstallSnapshot(id raft.ServerID, addr raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	whole := &counted{Reader: data}
	err := t.NetworkTransport.InstallSnapshot(id, target(id, addr), req, resp, whole)
	if whole.n >= req.Size {
		t.loops.snapshot(id, req.LastLogIndex, req.Size)
	}
	return err
}

// TimeoutNow has the server with the id stand for election at once.
func (t *Transport) TimeoutNow(id raft.ServerID, addr raft.ServerAddress, req *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.NetworkTransport.TimeoutNow(id, target(id, addr), req, resp)
}

// HangUp ends everything that this node sends, receives and waits for. It is called once Raft shuts down.
func (t *Transport) HangUp() { t.layer.HangUp() }

// Close ends every stream and the listener and waits for the layer's goroutines.
func (t *Transport) Close() error {
	t.CloseStreams()
	return t.NetworkTransport.Close()
}
