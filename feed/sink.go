package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// errTooLarge is why a change is refused that no batch could hold.
var errTooLarge = errors.New("larger than a batch may be")

// bodies keeps the octets of acknowledged batches for the next ones. It is the mem.BufferPool of their buffers, so that a body
// comes back only when neither the window nor gRPC needs it any more.
type bodies struct {
	octets int
	pool   sync.Pool
}

func newBodies(octets int) *bodies { return &bodies{octets: octets} }

// Get is an empty body with room for a batch; the length asked for is not needed.
func (p *bodies) Get(int) *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, p.octets)
	return &b
}

// Put takes a body back. One that a single large change has grown is left to the garbage collector.
func (p *bodies) Put(b *[]byte) {
	if cap(*b) <= 2*p.octets {
		*b = (*b)[:0]
		p.pool.Put(b)
	}
}

// sink cuts what a source states into batches.
type sink struct {
	config   Config
	window   *window
	bodies   *bodies
	now      func() time.Time
	refused  func(c *ingestv1.Change, err error)
	stated   func(at time.Time) // told of changes that are on their way
	expected bool

	body  *[]byte // the batch being filled; nil before its first change
	taken time.Time
	tally tally
	open  bool // whether taken counts for the next change
}

// Expect begins the stage of progress in which leases are acknowledged.
func (s *sink) Expect(changes int64) {
	s.expected = true
	s.config.Progress.Stage("feed "+s.config.Source, "leases", changes)
}

// BeginResync sends the begin of a resync behind what was stated before.
func (s *sink) BeginResync(ctx context.Context, links bool) error {
	if err := s.Flush(ctx); err != nil {
		return err
	}
	if !s.expected {
		s.Expect(-1)
	}
	var body []byte
	if links {
		body = protowire.AppendTag(body, fieldBeginLinks, protowire.VarintType)
		body = protowire.AppendVarint(body, 1)
	}
	return s.window.push(ctx, &batch{content: resyncBegin, body: mem.SliceBuffer(body), taken: s.now()})
}

// EndResync sends the end of a resync behind what was stated before.
func (s *sink) EndResync(ctx context.Context) error {
	if err := s.Flush(ctx); err != nil {
		return err
	}
	s.expected = false
	return s.window.push(ctx, &batch{content: resyncEnd, body: mem.SliceBuffer(nil), taken: s.now(), tally: tally{resyncs: 1}})
}

// Now is when the batch being filled was begun.
func (s *sink) Now() time.Time {
	if !s.open {
		s.taken, s.open = s.now(), true
	}
	return s.taken
}

// Change appends c to the batch being filled, and pushes the batch when it is full.
func (s *sink) Change(ctx context.Context, c *ingestv1.Change) error {
	taken := s.Now()
	size := proto.Size(c)
	need := protowire.SizeTag(fieldChanges) + protowire.SizeBytes(size)
	if need > MaxBatchOctets {
		s.refused(c, fmt.Errorf("%d octets encoded, the limit is %d: %w", need, MaxBatchOctets, errTooLarge))
		return nil
	}
	if s.body != nil && len(*s.body)+need > s.config.BatchOctets {
		if err := s.Flush(ctx); err != nil {
			return err
		}
		s.taken, s.open = taken, true // the age in c was taken before the flush
	}
	if s.body == nil {
		s.body = s.bodies.Get(0)
	}
	body := protowire.AppendTag(*s.body, fieldChanges, protowire.BytesType)
	body = protowire.AppendVarint(body, uint64(size))
	body, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(body, c)
	if err != nil {
		s.refused(c, err)
		return nil
	}
	*s.body = body
	s.tally.count(c)
	if s.tally.changes() >= s.config.BatchChanges {
		return s.Flush(ctx)
	}
	return nil
}

// Flush pushes the batch being filled, if there is anything in it.
func (s *sink) Flush(ctx context.Context) error {
	s.open = false
	if s.body == nil || len(*s.body) == 0 {
		return nil
	}
	b := &batch{content: changes, body: s.cut(), tally: s.tally, taken: s.taken}
	s.tally = tally{}
	s.stated(s.taken)
	return s.window.push(ctx, b)
}

// cut is the body of the batch that was filled. A small one is copied: it may stay for as long as the cluster is away, with
// thousands like it, and is not to hold the room of a full one.
func (s *sink) cut() mem.Buffer {
	if 2*len(*s.body) < cap(*s.body) {
		small := bytes.Clone(*s.body)
		*s.body = (*s.body)[:0]
		return mem.SliceBuffer(small)
	}
	full := mem.NewBuffer(s.body, s.bodies)
	s.body = nil
	return full
}

// Receipt flushes and gives what tells of the acknowledgement.
func (s *sink) Receipt(ctx context.Context) (<-chan struct{}, error) {
	if err := s.Flush(ctx); err != nil {
		return nil, err
	}
	return s.window.receipt(), nil
}
