package transport

import (
	"sync"

	"github.com/hashicorp/raft"
)

// unread is how many answers a pipeline keeps that nobody takes. Raft sends on for as long as it happens not to see that its
// reader has ended, which gets half as likely with each request.
const unread = 64

// AppendEntriesPipeline opens a pipeline of AppendEntries to the server with the id. Raft does that once it has caught up.
func (t *Transport) AppendEntriesPipeline(id raft.ServerID, addr raft.ServerAddress) (raft.AppendPipeline, error) {
	t.loops.entries(id)
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target(id, addr))
	if err != nil {
		return nil, err
	}
	p := &pipeline{AppendPipeline: inner, transport: t, answers: make(chan raft.AppendFuture, unread), closed: make(chan struct{})}
	p.passing.Go(p.pass)
	return p, nil
}

// pipeline is a pipeline whose messages can be held, and that keeps the answers that Raft does not take.
//
// Raft's reader of answers ends at the first that says no, or that is of a later term. The pipeline that is wrapped then waits for
// somebody to take the next answer, and Raft's writer, if it is sending just then, waits for the pipeline: for ever. A leader
// in whom that happens sends the server no entries any more, only heartbeats, and cannot be shut down.
type pipeline struct {
	raft.AppendPipeline
	transport *Transport
	answers   chan raft.AppendFuture
	closed    chan struct{}
	closing   sync.Once
	passing   sync.WaitGroup
}

// AppendEntries sends a request without waiting for the answer to the one before.
func (p *pipeline) AppendEntries(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if p.transport.held() {
		return nil, ErrHeld
	}
	return p.AppendPipeline.AppendEntries(req, resp)
}

// Consumer is where answers can be taken from, in the order of the requests.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// pass takes answers from the pipeline that is wrapped.
func (p *pipeline) pass() {
	for {
		select {
		case answer := <-p.AppendPipeline.Consumer():
			select {
			case p.answers <- answer:
			case <-p.closed:
				return
			}
		case <-p.closed:
			return
		}
	}
}

// Close ends the pipeline and its connection.
func (p *pipeline) Close() error {
	p.closing.Do(func() { close(p.closed) })
	err := p.AppendPipeline.Close()
	p.passing.Wait()
	return err
}
