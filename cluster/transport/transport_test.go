package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTestLayer(t *testing.T, cluster, id string) *Layer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLayer(ln, "", cluster, id, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newTestTransport(t *testing.T, cluster, id string) *Transport {
	t.Helper()
	tr := New(newTestLayer(t, cluster, id), hclog.NewNullLogger())
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// answer answers the next message to tr, if one comes before the test ends.
func answer(t *testing.T, tr *Transport) {
	t.Helper()
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	go func() {
		for {
			select {
			case rpc := <-tr.Consumer():
				switch rpc.Command.(type) {
				case *raft.AppendEntriesRequest:
					rpc.Respond(&raft.AppendEntriesResponse{Term: 7, Success: true}, nil)
				case *raft.RequestPreVoteRequest:
					rpc.Respond(&raft.RequestPreVoteResponse{Term: 7, Granted: true}, nil)
				default:
					rpc.Respond(nil, errors.New("not expected"))
				}
			case <-done:
				return
			}
		}
	}()
}

func TestHeartbeatGoesThroughConsumer(t *testing.T) {
	from, to := newTestTransport(t, "c", "a"), newTestTransport(t, "c", "b")
	to.SetHeartbeatHandler(func(raft.RPC) { t.Error("heartbeat took the fast path") })
	answer(t, to)
	heartbeat := &raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 3, Addr: []byte("x")}, Term: 7}
	var resp raft.AppendEntriesResponse
	if err := from.AppendEntries("b", to.LocalAddr(), heartbeat, &resp); err != nil || !resp.Success {
		t.Errorf("heartbeat: %+v, %v", resp, err)
	}
}

func TestPreVoteIsKept(t *testing.T) {
	from, to := newTestTransport(t, "c", "a"), newTestTransport(t, "c", "b")
	answer(t, to)
	var resp raft.RequestPreVoteResponse
	if err := raft.WithPreVote(from).RequestPreVote("b", to.LocalAddr(), &raft.RequestPreVoteRequest{Term: 7}, &resp); err != nil || !resp.Granted {
		t.Errorf("pre-vote: %+v, %v", resp, err)
	}
}

func TestConnectionForAnotherIsClosed(t *testing.T) {
	to := newTestTransport(t, "c", "b")
	answer(t, to)
	for _, tc := range []struct{ name, cluster, id string }{
		{"another cluster", "d", "b"},
		{"another server at the address", "c", "wiped"},
	} {
		from := newTestTransport(t, tc.cluster, "a")
		var resp raft.AppendEntriesResponse
		if err := from.AppendEntries(raft.ServerID(tc.id), to.LocalAddr(), &raft.AppendEntriesRequest{Term: 7}, &resp); err == nil {
			t.Errorf("%s: answered with %+v", tc.name, resp)
		}
	}
}

func TestSnapshotStreams(t *testing.T) {
	from, to := newTestTransport(t, "c", "a"), newTestTransport(t, "c", "b")
	want := bytes.Repeat([]byte("lease"), 100_000)
	got := make(chan []byte, 1)
	go func() {
		rpc := <-to.Consumer()
		b, err := io.ReadAll(rpc.Reader)
		got <- b
		rpc.Respond(&raft.InstallSnapshotResponse{Success: true}, err)
	}()
	var resp raft.InstallSnapshotResponse
	req := &raft.InstallSnapshotRequest{Size: int64(len(want))}
	if err := from.InstallSnapshot("b", to.LocalAddr(), req, &resp, bytes.NewReader(want)); err != nil || !resp.Success {
		t.Fatalf("install snapshot: %+v, %v", resp, err)
	}
	if !bytes.Equal(<-got, want) {
		t.Error("snapshot arrived changed")
	}
}

func TestPreamble(t *testing.T) {
	whole := appendPreamble(nil, "c", "id")
	if err := readPreamble(bytes.NewReader(whole), "c", "id"); err != nil {
		t.Errorf("good preamble: %v", err)
	}
	for n := range whole {
		if err := readPreamble(bytes.NewReader(whole[:n]), "c", "id"); !errors.Is(err, ErrPreamble) {
			t.Errorf("preamble cut after %d octets: %v", n, err)
		}
	}
	for _, bad := range []string{"GET / HTTP/1.1\r\n\r\n", strings.Repeat("\x00", 600), strings.Repeat("\xff", 600), magic + "\xff" + strings.Repeat("x", 255) + "\x00"} {
		if err := readPreamble(strings.NewReader(bad), "c", "id"); !errors.Is(err, ErrPreamble) {
			t.Errorf("preamble %.20q: %v", bad, err)
		}
	}
	r := bytes.NewReader(append(whole, "raft"...))
	if err := readPreamble(r, "c", "id"); err != nil || r.Len() != 4 {
		t.Errorf("%d octets left behind the preamble, want 4; %v", r.Len(), err)
	}
}

func FuzzPreamble(f *testing.F) {
	f.Add(appendPreamble(nil, "leasehold", "01234567-89ab-4def-8123-456789abcdef"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		want := appendPreamble(nil, "leasehold", "id")
		if err := readPreamble(bytes.NewReader(b), "leasehold", "id"); (err == nil) != bytes.HasPrefix(b, want) {
			t.Errorf("preamble %q: %v", b, err)
		}
	})
}

// TestConnectionsAreBounded opens more connections than a layer holds: the surplus is closed, the others stay.
func TestConnectionsAreBounded(t *testing.T) {
	l := newTestLayer(t, "c", "b")
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		return c
	}
	closed := func(c net.Conn, within time.Duration) bool {
		_ = c.SetReadDeadline(time.Now().Add(within))
		_, err := c.Read(make([]byte, 1))
		return !errors.Is(err, errTimeout(err))
	}
	for range MaxConns {
		dial()
	}
	for range 5 {
		if !closed(dial(), 10*time.Second) {
			t.Error("a connection beyond the limit stays open")
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

// errTimeout is err if it is a timeout, else something that no error is.
func errTimeout(err error) error {
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return err
	}
	return errors.New("no timeout")
}

// TestSilentConnectionIsNotAccepted connects and says nothing: Raft, which reads without a deadline, never sees it.
func TestSilentConnectionIsNotAccepted(t *testing.T) {
	l := newTestLayer(t, "c", "b")
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
		close(accepted)
	}()
	to, err := l.Dial(target("b", raft.ServerAddress(l.Addr().String())), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	got := <-accepted
	if got == nil || got.RemoteAddr().String() != to.LocalAddr().String() {
		t.Errorf("accepted %v, want the connection that sent a preamble", got)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := got.Read(make([]byte, 1)); err == nil {
		t.Error("an accepted connection outlives its layer")
	}
}

func TestNamesAreBounded(t *testing.T) {
	if _, err := NewLayer(nil, "a:1", strings.Repeat("x", 256), "b", nil); err == nil {
		t.Error("a cluster name of 256 octets was taken")
	}
}

// Raft's reader of answers may end while its writer sends: the writer must not wait for it.
func TestPipelineKeepsAnswersThatNobodyTakes(t *testing.T) {
	from, to := newTestTransport(t, "c", "a"), newTestTransport(t, "c", "b")
	answer(t, to)
	p, err := from.AppendEntriesPipeline("b", to.LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	var futures []raft.AppendFuture
	for range unread {
		f, err := p.AppendEntries(&raft.AppendEntriesRequest{Term: 7}, new(raft.AppendEntriesResponse))
		if err != nil {
			t.Fatal(err)
		}
		futures = append(futures, f)
	}
	for i, f := range futures {
		if got := <-p.Consumer(); got != f || f.Error() != nil || !got.Response().Success {
			t.Fatalf("answer %d: %v, error %v", i, got, f.Error())
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// A node that stops does not wait for a peer that does not answer, nor for one that cannot be reached.
func TestHangUp(t *testing.T) {
	from, to := newTestTransport(t, "c", "a"), newTestTransport(t, "c", "b")
	ended := make(chan error)
	go func() {
		ended <- from.AppendEntries("b", to.LocalAddr(), &raft.AppendEntriesRequest{Term: 7}, new(raft.AppendEntriesResponse))
	}()
	<-to.Consumer() // it has arrived, and is never answered
	from.HangUp()
	if err := <-ended; err == nil {
		t.Error("answered")
	}
	if err := from.RequestVote("b", to.LocalAddr(), new(raft.RequestVoteRequest), new(raft.RequestVoteResponse)); !errors.Is(err, context.Canceled) {
		t.Errorf("a connection opened afterwards: %v", err)
	}
}
