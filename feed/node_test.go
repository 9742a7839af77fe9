package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is what several nodes share: what was applied, by the rules of the contract.
type cluster struct {
	mu      sync.Mutex
	epoch   uint64
	known   bool            // whether the epoch's state is there
	applied uint64          // in the epoch
	log     []string        // what the epoch's batches did, in order
	past    map[uint64]bool // epochs that another has followed
	epochs  int
	index   uint64
}

// node is a node of it: a real gRPC server that does what its hooks say.
type node struct {
	ingestv1.UnimplementedIngestServer
	cluster *cluster
	window  uint32

	hello   func(*ingestv1.Hello) error                      // nil: welcome
	batch   func(n int, b *ingestv1.Batch) mischief          // nil: apply and acknowledge
	bad     func(c *ingestv1.Change) bool                    // changes that are refused
	told    bool                                             // whether a refusal says which change
	ack     func(ctx context.Context, sequence uint64) error // called before an acknowledgement; nil: none
	reports func(*ingestv1.Report)                           // takes reports; nil: an older node, which does not know them
	seen    int
}

// mischief is what a node does with a batch.
type mischief int

const (
	apply         mischief = iota
	applySilent            // applied, not acknowledged: a later one covers it
	dropBefore             // the stream breaks, the batch is lost
	dropAfter              // the stream breaks, the batch was applied
	lose                   // the batch is lost, the stream goes on
	endEarly               // the node ends the stream without an error
	forget                 // the cluster no longer knows the epoch
	rewindTwice            // the batch is asked for again, twice
	ignoreForever          // no answer to this and all that follows
)

// Feed is the contract of proto/ingest/v1.
func (n *node) Feed(stream ingestv1.Ingest_FeedServer) error {
	request, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := request.GetHello()
	if hello == nil {
		return status.Error(codes.InvalidArgument, "no hello")
	}
	if n.hello != nil {
		if err := n.hello(hello); err != nil {
			return err
		}
	}
	applied, err := n.cluster.welcome(hello.GetEpoch())
	if err != nil {
		return err
	}
	window := n.window
	if window == 0 {
		window = 1 << 20
	}
	w := welcome(applied, window)
	w.GetWelcome().TakesReports = n.reports != nil
	if err := stream.Send(w); err != nil {
		return err
	}
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r := request.GetReport(); r != nil && n.reports != nil {
			n.reports(r)
			continue
		}
		if err := n.take(stream, hello.GetEpoch(), request.GetBatch()); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

func welcome(applied uint64, window uint32) *ingestv1.FeedResponse {
	return &ingestv1.FeedResponse{Response: &ingestv1.FeedResponse_Welcome{Welcome: &ingestv1.Welcome{AppliedSequence: applied, MaxBytesInFlight: window}}}
}

func rewind(next uint64) *ingestv1.FeedResponse {
	return &ingestv1.FeedResponse{Response: &ingestv1.FeedResponse_Rewind{Rewind: &ingestv1.Rewind{NextSequence: next}}}
}

func (n *node) take(stream ingestv1.Ingest_FeedServer, epoch uint64, b *ingestv1.Batch) error {
	if b == nil {
		return status.Error(codes.InvalidArgument, "no batch")
	}
	do := apply
	if n.batch != nil {
		n.cluster.mu.Lock()
		n.seen++
		seen := n.seen
		n.cluster.mu.Unlock()
		do = n.batch(seen, b)
	}
	switch do {
	case dropBefore:
		return status.Error(codes.Unavailable, "lost the leader")
	case lose:
		return nil
	case endEarly:
		return io.EOF
	case forget:
		n.cluster.forget()
		return status.Error(codes.FailedPrecondition, "unknown epoch")
	case ignoreForever:
		<-stream.Context().Done()
		return stream.Context().Err()
	case rewindTwice:
		applied := n.cluster.now()
		return errors.Join(stream.Send(rewind(applied+1)), stream.Send(rewind(applied+1)))
	}
	if err := n.refuse(b); err != nil {
		return err
	}
	answer, err := n.cluster.apply(epoch, b)
	if err != nil {
		return err
	}
	switch do {
	case dropAfter:
		return status.Error(codes.Unavailable, "lost the leader, after all")
	case applySilent:
		return nil
	}
	if n.ack != nil && answer.GetAck() != nil {
		if err := n.ack(stream.Context(), b.GetSequence()); err != nil {
			return err
		}
	}
	return stream.Send(answer)
}

// refuse ends the stream for a change that may not be stored.
func (n *node) refuse(b *ingestv1.Batch) error {
	if n.bad == nil {
		return nil
	}
	for i, c := range b.GetChanges().GetChanges() {
		if !n.bad(c) {
			continue
		}
		s := status.New(codes.InvalidArgument, "a change may not be stored")
		if n.told {
			detailed, err := s.WithDetails(&errdetails.ErrorInfo{Reason: "INVALID_CHANGE", Domain: "leasehold", Metadata: map[string]string{
				"sequence": strconv.FormatUint(b.GetSequence(), 10), "change": strconv.Itoa(i), "field": "duid",
			}})
			if err != nil {
				return err
			}
			s = detailed
		}
		return s.Err()
	}
	return nil
}

func (c *cluster) welcome(epoch uint64) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.past[epoch] { // of a session that was left because its node was slow
		return 0, status.Error(codes.FailedPrecondition, "another epoch has followed")
	}
	if epoch != c.epoch {
		if c.past == nil {
			c.past = map[uint64]bool{}
		}
		c.past[c.epoch] = true
		c.epoch, c.known, c.applied, c.log = epoch, true, 0, nil
		c.epochs++
	}
	if !c.known {
		return 0, status.Error(codes.FailedPrecondition, "unknown epoch")
	}
	return c.applied, nil
}

func (c *cluster) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = false
}

func (c *cluster) now() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.applied
}

// apply applies a batch once, in order.
func (c *cluster) apply(epoch uint64, b *ingestv1.Batch) (*ingestv1.FeedResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.epoch || !c.known {
		return nil, status.Error(codes.FailedPrecondition, "unknown epoch")
	}
	if b.GetSequence() > c.applied+1 {
		return rewind(c.applied + 1), nil
	}
	counts := &ingestv1.Counts{}
	if b.GetSequence() == c.applied+1 {
		c.applied++
		c.index++
		switch content := b.GetContent().(type) {
		case *ingestv1.Batch_ResyncBegin:
			c.log = append(c.log, fmt.Sprintf("begin links=%v", content.ResyncBegin.GetLinks()))
		case *ingestv1.Batch_ResyncEnd:
			c.log = append(c.log, "end")
		case *ingestv1.Batch_Changes:
			for _, change := range content.Changes.GetChanges() {
				c.log = append(c.log, describe(change))
				counts.Changed++
			}
		}
	}
	return &ingestv1.FeedResponse{Response: &ingestv1.FeedResponse_Ack{Ack: &ingestv1.Ack{Sequence: b.GetSequence(), Index: c.index, Counts: counts}}}, nil
}

func (c *cluster) logged() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.log...)
}

// serve runs a node on loopback until the test ends, and gives its address.
func serve(t *testing.T, n *node) string {
	t.Helper()
	address, _ := serveAt(t, n, "127.0.0.1:0")
	return address
}

// serveAt runs a node at an address until it is stopped, or the test ends. A port that it was given (port 0) stays the test's.
func serveAt(t *testing.T, n *node, at string) (address string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	if listener.Addr().String() != at {
		hold(t, listener)
	}
	server := grpc.NewServer()
	ingestv1.RegisterIngestServer(server, n)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	stop = sync.OnceFunc(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

// hold keeps a listener's port from others until the test ends, also while nobody listens there, by a connection that stays. The kernel
// gives such a port to nobody who does not ask for it.
func hold(t *testing.T, l net.Listener) {
	t.Helper()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	held, err := l.Accept()
	if err != nil {
		t.Fatal(errors.Join(err, client.Close()))
	}
	t.Cleanup(func() {
		if err := errors.Join(client.Close(), held.Close()); err != nil {
			t.Error(err)
		}
	})
}

// list is a source of leases with the numbers 0 to n-1 as addresses.
type list struct {
	n    int
	runs int
	end  error
}

func leaseOf(i int) *ingestv1.Change {
	return &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: &ingestv1.Lease{
		Address: []byte{0x20, 0x01, 0x0d, 0xb8, 12: byte(i >> 24), 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}, PrefixLength: 128,
		Duid: []byte{0, 3, 0, 1, 2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}, Valid: 3600, AgeMs: 1000,
		Relays: []*ingestv1.RelayLevel{{LinkAddress: make([]byte, 16), Options: make([]byte, 60)}},
	}}}
}

func (l *list) Run(ctx context.Context, sink Sink) error {
	l.runs++
	sink.Expect(int64(l.n))
	if err := sink.BeginResync(ctx, true); err != nil {
		return err
	}
	link := &ingestv1.Change{Change: &ingestv1.Change_DefineLink{DefineLink: &ingestv1.Link{Label: "subnet 1", Prefixes: []string{"2001:db8::/64"}}}}
	if err := sink.Change(ctx, link); err != nil {
		return err
	}
	for i := range l.n {
		if err := sink.Change(ctx, leaseOf(i)); err != nil {
			return err
		}
	}
	if l.end != nil {
		return l.end
	}
	return sink.EndResync(ctx)
}

// want is what the cluster's log holds when a list has arrived, without some leases.
func (l *list) want(without func(i int) bool) []string {
	out := []string{"begin links=true", `link "subnet 1"`}
	for i := range l.n {
		if without == nil || !without(i) {
			out = append(out, describe(leaseOf(i)))
		}
	}
	return append(out, "end")
}

func testConfig(addresses ...string) Config {
	return Config{
		Source: "dev", Cluster: addresses, DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
		BatchChanges: 7, BackoffMin: 1, BackoffMax: 1000, Linger: 50 * time.Millisecond,
	}
}

func newAgent(t *testing.T, config Config, source Source) *Agent {
	t.Helper()
	a, err := New(config, source)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustEqual(t *testing.T, what string, want, got []string) {
	t.Helper()
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			t.Fatalf("%s: %d entries, want %d; missing %q", what, len(got), len(want), want[i])
		case i >= len(want):
			t.Fatalf("%s: %d entries, want %d; too many from %q", what, len(got), len(want), got[i])
		case want[i] != got[i]:
			t.Fatalf("%s: entry %d is %q, want %q", what, i, got[i], want[i])
		}
	}
}
