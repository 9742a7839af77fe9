package transport

import (
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
	return &Transport{NetworkTransport: t}
}

// SetHeartbeatHandler does nothing: heartbeats reach Raft's main loop through Consumer like every other message
// (hashicorp/raft#695).
func (t *Transport) SetHeartbeatHandler(func(raft.RPC)) {}

// Close ends every stream and the listener and waits for the layer's goroutines.
func (t *Transport) Close() error {
	t.CloseStreams()
	return t.NetworkTransport.Close()
}
