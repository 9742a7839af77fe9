package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/cluster/clustertest/history"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

const (
	soakWindow   = 4                     // batches under way at once
	soakPace     = 20 * time.Millisecond // between batches of a writer
	soakPatience = 2 * time.Second       // without an answer, before another node is tried
)

// soakWriter is one session of a source: it sends batches, a few at once, to one node after the other, and sends again what was
// not acknowledged, until it is.
type soakWriter struct {
	*soakClients
	rng           *rand.Rand
	group, number int
	epoch         uint64
	sequence      uint32
	pending       []soakBatch // in order
	server        int
}

type soakBatch struct {
	write history.Write
	call  time.Duration
	batch *ingestv1.FeedRequest
}

func newSoakWriter(c *soakClients, seed uint64, group, number int) *soakWriter {
	rng := rand.New(rand.NewPCG(seed, uint64(100*group+number)))
	return &soakWriter{soakClients: c, rng: rng, group: group, number: number, epoch: rng.Uint64() | 1, server: rng.IntN(len(c.target.servers))}
}

// run writes until the clients are to end and all is acknowledged.
func (w *soakWriter) run() {
	ctx := w.t.Context()
	for ctx.Err() == nil {
		err := w.session(ctx)
		if err == nil {
			return
		}
		if code := status.Code(err); code == codes.InvalidArgument || code == codes.FailedPrecondition {
			w.t.Errorf("writer %d of group %d: %v", w.number, w.group, err)
			return
		}
		w.broken.Add(1)
		w.server = (w.server + 1) % len(w.target.servers)
		select {
		case <-time.After(50 * time.Millisecond): // the next node is tried soon, but not at once
		case <-ctx.Done():
		}
	}
}

// session feeds one node until that breaks; nil when all is done.
func (w *soakWriter) session(ctx context.Context) error {
	conn, err := grpc.NewClient("passthrough:///"+w.target.servers[w.server].grpc, w.target.dial...)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	giveUp := time.AfterFunc(soakPatience, cancel) // also a call that blocks
	defer giveUp.Stop()
	stream, err := ingestv1.NewIngestClient(conn).Feed(ctx)
	if err != nil {
		return err
	}
	hello := &ingestv1.Hello{Source: fmt.Sprintf("pair-%d", w.group), Epoch: w.epoch}
	if err := stream.Send(&ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Hello{Hello: hello}}); err != nil {
		return err
	}
	answers, failed := make(chan *ingestv1.FeedResponse), make(chan error, 1)
	go func() {
		for {
			answer, err := stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case answers <- answer:
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			}
		}
	}()
	err = w.exchange(stream, answers, failed, giveUp)
	cancel()
	if err == nil {
		return nil
	}
	select { // the stream's own error says more than that it was ended
	case real := <-failed:
		return real
	case <-time.After(soakPatience):
		return err
	}
}

// exchange sends batches and takes answers.
func (w *soakWriter) exchange(stream ingestv1.Ingest_FeedClient, answers <-chan *ingestv1.FeedResponse, failed chan error, giveUp *time.Timer) error {
	tick := time.NewTicker(soakPace)
	defer tick.Stop()
	welcomed := false
	for {
		select {
		case answer := <-answers:
			giveUp.Reset(soakPatience)
			welcomed = true
			if err := w.take(stream, answer); err != nil {
				return err
			}
		case err := <-failed:
			failed <- err
			return err
		case <-tick.C:
			if len(w.pending) == 0 {
				giveUp.Reset(soakPatience)
				if w.ctx.Err() != nil {
					return nil
				}
			}
			if !welcomed || w.ctx.Err() != nil || len(w.pending) >= soakWindow {
				continue
			}
			w.pending = append(w.pending, w.draw())
			if err := stream.Send(w.pending[len(w.pending)-1].batch); err != nil {
				return err
			}
		}
	}
}

// take takes an answer: a batch and all before it are acknowledged, or are to be sent again.
func (w *soakWriter) take(stream ingestv1.Ingest_FeedClient, answer *ingestv1.FeedResponse) error {
	switch r := answer.GetResponse().(type) {
	case *ingestv1.FeedResponse_Welcome:
		w.acknowledge(r.Welcome.GetAppliedSequence())
	case *ingestv1.FeedResponse_Ack:
		w.acknowledge(r.Ack.GetSequence())
		return nil
	case *ingestv1.FeedResponse_Rewind:
		w.acknowledge(r.Rewind.GetNextSequence() - 1)
	}
	for _, b := range w.pending {
		if err := stream.Send(b.batch); err != nil {
			return err
		}
	}
	return nil
}

func (w *soakWriter) acknowledge(sequence uint64) {
	if sequence > uint64(w.sequence) {
		w.t.Errorf("writer %d of group %d: batch %d acknowledged, sent were %d", w.number, w.group, sequence, w.sequence)
	}
	for len(w.pending) > 0 && uint64(w.pending[0].write.Sequence) <= sequence {
		w.record.Wrote(w.group, w.number, w.pending[0].call, w.pending[0].write)
		w.writes.Add(1)
		w.pending = w.pending[1:]
	}
}

// draw draws a batch: one key, some or all, bound to a new client or, but for the first, ended.
func (w *soakWriter) draw() soakBatch {
	version := w.versions[w.group].Add(1)
	w.sequence++
	b := soakBatch{call: w.record.Now(), write: history.Write{Chain: w.number, Sequence: w.sequence}}
	b.write.Keys = history.Keys(w.rng.IntN(1<<soakKeys-1) + 1)
	if w.rng.IntN(3) == 0 {
		b.write.Keys = history.All(soakKeys)
	}
	var changes []*ingestv1.Change
	for key := range soakKeys {
		if !b.write.Keys.Has(key) {
			continue
		}
		address := soakAddress(w.group, key).As16()
		if key > 0 && w.rng.IntN(8) == 0 {
			changes = append(changes, &ingestv1.Change{Change: &ingestv1.Change_End{End: &ingestv1.End{Address: address[:], Reason: ingestv1.Reason_REASON_RELEASED}}})
			continue
		}
		b.write.To[key] = version
		changes = append(changes, &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: &ingestv1.Lease{
			Address: address[:], Duid: soakDUID(w.group, version), Iaid: 1, Preferred: 86400, Valid: 86400}}})
	}
	b.batch = &ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Batch{Batch: &ingestv1.Batch{
		Sequence: uint64(w.sequence), Content: &ingestv1.Batch_Changes{Changes: &ingestv1.Changes{Changes: changes}}}}}
	return b
}
