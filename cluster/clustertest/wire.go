package clustertest

import (
	"io"

	"github.com/hashicorp/raft"
)

// wire is Raft's transport of one node with the cluster's faults in it.
type wire struct {
	raft.Transport
	cluster *Cluster
	from    int
}

var (
	_ raft.WithPreVote = (*wire)(nil)
	_ raft.WithClose   = (*wire)(nil)
)

// send passes the request, makes the call and passes the reply.
func (w *wire) send(to raft.ServerID, kind Kind, call func() error) error {
	i := w.cluster.indexOf(string(to))
	if err := w.cluster.faults.pass(Message{From: w.from, To: i, Kind: kind}); err != nil {
		return err
	}
	if err := call(); err != nil {
		return err
	}
	return w.cluster.faults.pass(Message{From: i, To: w.from, Kind: kind, Reply: true})
}

func kindOf(req *raft.AppendEntriesRequest) Kind {
	if len(req.Entries) == 0 {
		return Heartbeat
	}
	return AppendEntries
}

// AppendEntries sends entries or a heartbeat.
func (w *wire) AppendEntries(id raft.ServerID, addr raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	return w.send(id, kindOf(req), func() error { return w.Transport.AppendEntries(id, addr, req, resp) })
}

// RequestVote asks for a vote.
func (w *wire) RequestVote(id raft.ServerID, addr raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return w.send(id, RequestVote, func() error { return w.Transport.RequestVote(id, addr, req, resp) })
}

// RequestPreVote asks whether a vote would be given.
func (w *wire) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return w.send(id, RequestPreVote, func() error {
		return w.Transport.(raft.WithPreVote).RequestPreVote(id, addr, req, resp)
	})
}

// InstallSnapshot sends a snapshot.
func (w *wire) InstallSnapshot(id raft.ServerID, addr raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	return w.send(id, InstallSnapshot, func() error { return w.Transport.InstallSnapshot(id, addr, req, resp, data) })
}

// TimeoutNow hands over leadership.
func (w *wire) TimeoutNow(id raft.ServerID, addr raft.ServerAddress, req *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return w.send(id, TimeoutNow, func() error { return w.Transport.TimeoutNow(id, addr, req, resp) })
}

// Close closes the transport.
func (w *wire) Close() error { return w.Transport.(raft.WithClose).Close() }

// AppendEntriesPipeline opens a pipeline whose requests and replies pass the faults too.
func (w *wire) AppendEntriesPipeline(id raft.ServerID, addr raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := w.Transport.AppendEntriesPipeline(id, addr)
	if err != nil {
		return nil, err
	}
	p := &pipeline{AppendPipeline: inner, wire: w, to: w.cluster.indexOf(string(id)), out: make(chan raft.AppendFuture), done: make(chan struct{})}
	go p.forward()
	return p, nil
}

type pipeline struct {
	raft.AppendPipeline
	wire *wire
	to   int
	out  chan raft.AppendFuture
	done chan struct{}
}

// AppendEntries sends a request.
func (p *pipeline) AppendEntries(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if err := p.wire.cluster.faults.pass(Message{From: p.wire.from, To: p.to, Kind: kindOf(req)}); err != nil {
		return nil, err
	}
	return p.AppendPipeline.AppendEntries(req, resp)
}

// Consumer gives the replies that were not dropped.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.out }

// Close ends the pipeline.
func (p *pipeline) Close() error {
	close(p.done)
	return p.AppendPipeline.Close()
}

func (p *pipeline) forward() {
	for {
		select {
		case f := <-p.AppendPipeline.Consumer():
			if p.wire.cluster.faults.pass(Message{From: p.to, To: p.wire.from, Kind: kindOf(f.Request()), Reply: true}) != nil {
				continue
			}
			select {
			case p.out <- f:
			case <-p.done:
				return
			}
		case <-p.done:
			return
		}
	}
}
