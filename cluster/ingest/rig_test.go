package ingest

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/cluster/rpc"
	"github.com/leasehold/leasehold/fsm"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

func TestMain(m *testing.M) { clustertest.Main(m) }

// patience bounds how long a test waits for anything.
const patience = 60 * time.Second

// gated is a state machine that applies nothing of a source while its gate is shut: a log that is slow.
type gated struct {
	*fsm.FSM
	mu   sync.Mutex
	open chan struct{} // closed while the gate is open
}

func newGated(f *fsm.FSM) *gated {
	open := make(chan struct{})
	close(open)
	return &gated{FSM: f, open: open}
}

func (g *gated) shut() (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := make(chan struct{})
	g.open = gate
	return sync.OnceFunc(func() { close(gate) })
}

func (g *gated) pass() {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	<-open
}

// Apply applies one entry.
func (g *gated) Apply(l *raft.Log) any {
	g.pass()
	return g.FSM.Apply(l)
}

// ApplyBatch applies entries.
func (g *gated) ApplyBatch(l []*raft.Log) []any {
	g.pass()
	return g.FSM.ApplyBatch(l)
}

// lone is a cluster of one real node.
type lone struct {
	*cluster.Node
	state *gated

	mu       sync.Mutex
	proposed []int // octets of the entries proposed through it
}

func newLone(t testing.TB) *lone {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	clock := cluster.NewClock()
	state := newGated(fsm.New(fsm.Config{Applied: clock.Applied, Halt: func(err error) { panic(err) }}))
	c := cluster.DefaultConfig()
	c.Name, c.DataDir, c.BootstrapExpect, c.GRPCAddress = "alone", t.TempDir(), 1, "127.0.0.1:1"
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLease = 100*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond
	c.TickInterval, c.JoinInterval = 50*time.Millisecond, 20*time.Millisecond
	n, err := cluster.Open(c, state, cluster.Deps{Logger: slog.New(slog.DiscardHandler), Clock: clock, Listener: l})
	if err != nil {
		t.Fatalf("open node: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("node ended: %v", err)
		}
	})
	within(t, "node is ready", n.Ready())
	return &lone{Node: n, state: state}
}

// Propose proposes and remembers how much.
func (l *lone) Propose(ctx context.Context, entry []byte) (*cluster.Pending, error) {
	l.mu.Lock()
	l.proposed = append(l.proposed, len(entry))
	l.mu.Unlock()
	return l.Node.Propose(ctx, entry)
}

func (l *lone) proposals() (n, octets int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.proposed {
		octets += o
	}
	return len(l.proposed), octets
}

// within waits until a channel is closed.
func within(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("still not so after %v: %s", patience, what)
	}
}

// until waits until a condition is true.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("still not so after %v: %s", patience, what)
		}
	}
}

// serve serves the service and gives its address.
func serve(t testing.TB, s *Service) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	server := rpc.NewServer(nil, nil)
	ingestv1.RegisterIngestServer(server, s)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, l) }()
	t.Cleanup(func() {
		s.Stop()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("server ended: %v", err)
		}
	})
	return l.Addr().String()
}

// feeder is the other side of a session.
type feeder struct {
	t testing.TB
	ingestv1.Ingest_FeedClient
	hangUp context.CancelFunc
}

// call opens a session with the node at addr and says hello.
func call(t testing.TB, addr, source string, epoch uint64) *feeder {
	t.Helper()
	f := dial(t, addr)
	f.request(&ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Hello{Hello: &ingestv1.Hello{Source: source, Epoch: epoch}}})
	return f
}

// dial opens a session without a word.
func dial(t testing.TB, addr string) *feeder {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatalf("dial %s: %v", addr, err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	stream, err := ingestv1.NewIngestClient(conn).Feed(ctx)
	if err != nil {
		t.Fatalf("open session: %v", err)
	}
	return &feeder{t: t, Ingest_FeedClient: stream, hangUp: cancel}
}

func (f *feeder) request(r *ingestv1.FeedRequest) {
	f.t.Helper()
	if err := f.Send(r); err != nil {
		_, err = f.Recv()
		f.t.Fatalf("send request: %v", err)
	}
}

func (f *feeder) batch(b *ingestv1.Batch) {
	f.t.Helper()
	f.request(&ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Batch{Batch: b}})
}

func (f *feeder) changes(sequence uint64, c ...*ingestv1.Change) {
	f.t.Helper()
	f.batch(&ingestv1.Batch{Sequence: sequence, Content: &ingestv1.Batch_Changes{Changes: &ingestv1.Changes{Changes: c}}})
}

func (f *feeder) answer() *ingestv1.FeedResponse {
	f.t.Helper()
	r, err := f.Recv()
	if err != nil {
		f.t.Fatalf("receive answer: %v", err)
	}
	return r
}

func (f *feeder) welcome() *ingestv1.Welcome {
	f.t.Helper()
	r := f.answer()
	if r.GetWelcome() == nil {
		f.t.Fatalf("first answer is %v, want a welcome", r)
	}
	return r.GetWelcome()
}

// acked reads acknowledgements up to the batch and gives the sum of their counts.
func (f *feeder) acked(sequence uint64) *ingestv1.Counts {
	f.t.Helper()
	sum, last := &ingestv1.Counts{}, uint64(0)
	for last < sequence {
		r := f.answer()
		a := r.GetAck()
		if a == nil || a.GetSequence() <= last || a.GetIndex() == 0 {
			f.t.Fatalf("answer is %v, want an acknowledgement of more than batch %d", r, last)
		}
		last = a.GetSequence()
		sum.Changed += a.GetCounts().GetChanged()
		sum.Unchanged += a.GetCounts().GetUnchanged()
		sum.Ignored += a.GetCounts().GetIgnored()
		sum.Swept += a.GetCounts().GetSwept()
	}
	if last != sequence {
		f.t.Fatalf("acknowledged up to batch %d, want %d", last, sequence)
	}
	return sum
}

// failed reads until the session ends and gives its error.
func (f *feeder) failed() error {
	f.t.Helper()
	for {
		if _, err := f.Recv(); err != nil {
			return err
		}
	}
}

// lease is the lease of client i.
func lease(i int) *ingestv1.Lease {
	return &ingestv1.Lease{
		Kind: ingestv1.Kind_KIND_NA, Address: []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)},
		Duid: []byte{0, 3, 0, 1, 2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}, Iaid: 1, Preferred: 3600, Valid: 7200, AgeMs: 1000, Stamp: 7, LinkName: "5",
		RelaySender: make([]byte, 16), Relays: []*ingestv1.RelayLevel{{HopCount: 1, LinkAddress: []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1},
			PeerAddress: []byte{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, Options: []byte{0, 18, 0, 4, 'e', 't', 'h', '0'}}},
		Options: []byte{0, 39, 0, 2, 0, 'x'},
	}
}

func upsert(l *ingestv1.Lease) *ingestv1.Change {
	return &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: l}}
}

// leases are upserts of clients from and up.
func leases(from, n int) []*ingestv1.Change {
	out := make([]*ingestv1.Change, n)
	for i := range out {
		out[i] = upsert(lease(from + i))
	}
	return out
}

// bindings is how many bindings the node has.
func (l *lone) bindings() int {
	v := l.StaleView()
	defer v.Release()
	return int(v.Len())
}

// counted is a counter's value.
func counted(t testing.TB, c prometheus.Counter) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("read counter: %d metrics, %v", len(families), err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}
