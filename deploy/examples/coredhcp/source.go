package leasehold

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/leasehold/leasehold/feed"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// news is what one reply says.
type news struct {
	changes []*ingestv1.Change
	at      time.Time
	receipt chan (<-chan struct{}) // gets what tells of the acknowledgement
}

// source is a feed.Source of what the handler passes on. It keeps what it has stated, so that it can state it again when the cluster has
// lost the session. It never says that this is everything there is: coredhcp itself does not remember its leases over a restart, but
// its clients keep them, and so should the cluster until they run out.
type source struct {
	news  chan *news
	known map[string]*ingestv1.Change // by address, what was said last
	at    map[string]time.Time        // when
	limit int                         // how large known was allowed to grow before it is looked through
}

// Run states what is known and then what comes.
func (s *source) Run(ctx context.Context, sink feed.Sink) error {
	sink.Expect(-1)
	for key := range s.known {
		if err := s.state(ctx, sink, key); err != nil {
			return err
		}
	}
	if err := sink.Flush(ctx); err != nil {
		return err
	}
	var waiting []*news
	for {
		select {
		case n := <-s.news:
			if err := s.take(ctx, sink, n); err != nil {
				return err
			}
			waiting = append(waiting, n)
			continue
		default: // nothing more for now: send what there is
			receipt, err := sink.Receipt(ctx)
			if err != nil {
				return err
			}
			for _, w := range waiting {
				w.receipt <- receipt
			}
			waiting = nil
		}
		select {
		case n := <-s.news:
			if err := s.take(ctx, sink, n); err != nil {
				return err
			}
			waiting = append(waiting, n)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// take remembers news and states them.
func (s *source) take(ctx context.Context, sink feed.Sink, n *news) error {
	for _, c := range n.changes {
		key := keyOf(c)
		s.known[key], s.at[key] = c, n.at
		if err := s.state(ctx, sink, key); err != nil {
			return err
		}
	}
	if len(s.known) > s.limit {
		s.forget(n.at)
	}
	return nil
}

// state states what is known under a key, with its present age.
func (s *source) state(ctx context.Context, sink feed.Sink, key string) error {
	c := s.known[key]
	age := sink.Now().Sub(s.at[key]).Milliseconds()
	if l := c.GetUpsert(); l != nil {
		l.AgeMs = age
	} else {
		c.GetEnd().AgeMs = age
	}
	return sink.Change(ctx, c)
}

// forget drops what has run out, and ends of which the cluster has long been told.
func (s *source) forget(now time.Time) {
	for key, c := range s.known {
		keep := time.Hour
		if l := c.GetUpsert(); l != nil {
			keep = time.Duration(l.GetValid()) * time.Second
		}
		if now.Sub(s.at[key]) > keep {
			delete(s.known, key)
			delete(s.at, key)
		}
	}
	s.limit = 2*len(s.known) + 1024
}

// keyOf names what a change is about: kind, address and length.
func keyOf(c *ingestv1.Change) string {
	key := &ingestv1.End{Kind: c.GetUpsert().GetKind(), Address: c.GetUpsert().GetAddress(), PrefixLength: c.GetUpsert().GetPrefixLength()}
	if e := c.GetEnd(); e != nil {
		key.Kind, key.Address, key.PrefixLength = e.GetKind(), e.GetAddress(), e.GetPrefixLength()
	}
	b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(key) // a message of our own
	return string(b)
}
