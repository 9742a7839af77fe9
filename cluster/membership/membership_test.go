package membership

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		code = leaks()
	}
	os.Exit(code)
}

// leaks looks for goroutines that outlive the tests; memberlist's probes end with their timeouts, a little later.
func leaks() int {
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if err = goleak.Find(); err == nil {
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// node is a gossiping node of a test.
type node struct {
	*Gossip
	stop func()
}

func start(t *testing.T, p Peer, conf Config) node {
	t.Helper()
	conf.Cluster, conf.Logger = "test", slog.New(slog.DiscardHandler)
	if conf.Bind == "" {
		conf.Bind = "127.0.0.1:0"
	}
	conf.RejoinInterval, conf.ProbeInterval = 100*time.Millisecond, 200*time.Millisecond
	g, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Announce(p); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	n := node{Gossip: g, stop: func() {
		if ctx.Err() == nil {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("gossip of %s: %v", p.ID, err)
			}
		}
	}}
	t.Cleanup(n.stop)
	until(t, "node gossips", func() bool { return g.Addr() != "" })
	return n
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(60 * time.Second); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

func find(g *Gossip, id string) Peer {
	peers := g.Peers()
	if i := slices.IndexFunc(peers, func(p Peer) bool { return p.ID == id }); i >= 0 {
		return peers[i]
	}
	return Peer{}
}

func TestNodesFindEachOtherAndHearNews(t *testing.T) {
	a := start(t, Peer{ID: "a", Name: "first", RaftAddress: "h:1", GRPCAddress: "h:2", Expect: 2, Voter: true}, Config{})
	b := start(t, Peer{ID: "b", RaftAddress: "h:3"}, Config{Join: []string{a.Addr()}})
	until(t, "b knows a", func() bool {
		p := find(b.Gossip, "a")
		return p.State == Alive && p.Name == "first" && p.RaftAddress == "h:1" && p.GRPCAddress == "h:2" && p.Expect == 2 && p.Voter && p.GossipAddress == a.Addr()
	})
	until(t, "a knows b", func() bool { return find(a.Gossip, "b").State == Alive })
	until(t, "b has looked for the others", b.Settled)
	if err := a.Announce(Peer{ID: "a", Name: "first", HasState: true, ClusterID: "c"}); err != nil {
		t.Fatal(err)
	}
	until(t, "b hears a's news", func() bool { p := find(b.Gossip, "a"); return p.HasState && p.ClusterID == "c" })
	if p := find(a.Gossip, "a"); p.ID != "" {
		t.Errorf("a is its own peer: %+v", p)
	}
}

// TestDeadNodeIsFoundAgain lets a node die, for so long that memberlist gives it up, and come back without seeds of its own:
// only the rejoin loop of the other can find it.
func TestDeadNodeIsFoundAgain(t *testing.T) {
	a := start(t, Peer{ID: "a", RaftAddress: "h:1"}, Config{})
	b := start(t, Peer{ID: "b", RaftAddress: "h:2"}, Config{Join: []string{a.Addr()}})
	until(t, "a knows b", func() bool { return find(a.Gossip, "b").State == Alive })
	addr := b.Addr()
	b.stop()
	until(t, "a gives b up", func() bool { return find(a.Gossip, "b").State == Dead })
	if p := find(a.Gossip, "b"); p.RaftAddress != "h:2" {
		t.Errorf("what is remembered of a dead peer: %+v", p)
	}
	b = start(t, Peer{ID: "b", RaftAddress: "h:2"}, Config{Bind: addr})
	until(t, "a finds b again", func() bool { return find(a.Gossip, "b").State == Alive })
	until(t, "b knows a", func() bool { return find(b.Gossip, "a").State == Alive })
}

// TestPeersAreRemembered restarts a node without seeds: its peers file leads it back.
func TestPeersAreRemembered(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peers.json")
	a := start(t, Peer{ID: "a", RaftAddress: "h:1", GRPCAddress: "h:2"}, Config{})
	b := start(t, Peer{ID: "b"}, Config{Join: []string{a.Addr()}, PeersFile: file})
	until(t, "b knows a", func() bool { return find(b.Gossip, "a").State == Alive })
	b.stop()
	again, err := New(Config{Bind: "127.0.0.1:0", PeersFile: file, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if p := find(again, "a"); p.State != Unknown || p.GRPCAddress != "h:2" || p.GossipAddress != a.Addr() {
		t.Errorf("remembered of a: %+v", p)
	}
	b = start(t, Peer{ID: "b"}, Config{PeersFile: file})
	until(t, "b finds a again", func() bool { return find(b.Gossip, "a").State == Alive })
}

func TestAnotherClusterIsNotHeard(t *testing.T) {
	a := start(t, Peer{ID: "a"}, Config{})
	g, err := New(Config{Cluster: "other", Bind: "127.0.0.1:0", Join: []string{a.Addr()}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Announce(Peer{ID: "x"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	until(t, "it has looked", g.Settled)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(g.Peers()) != 0 || len(a.Peers()) != 0 {
		t.Errorf("clusters of different names heard each other: %v, %v", g.Peers(), a.Peers())
	}
}

func TestDirectory(t *testing.T) {
	d := newDirectory("", slog.New(slog.DiscardHandler))
	d.setSelf("me", "10.0.0.1:1")
	d.learn([]Peer{{ID: "a", RaftAddress: "h:1"}, {ID: "me"}, {ID: ""}})
	d.learn([]Peer{{ID: "b", RaftAddress: "h:1"}}) // has taken a's place
	peers := d.peers()
	if len(peers) != 1 || peers[0].ID != "b" || peers[0].State != Unknown {
		t.Errorf("peers %+v, want b alone", peers)
	}
	got := d.missing([]string{"10.0.0.1:1", "seed:1", "seed:1"})
	if !slices.Equal(got, []string{"seed:1"}) {
		t.Errorf("missing %v, want the seed once and not this node", got)
	}
}

func TestPeersFileThatCannotBeReadIsIgnoredAloud(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peers.json")
	for _, text := range []string{"{", `{"id":1}`, strings.Repeat("x", maxPeersFile+1)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		g, err := New(Config{Bind: "127.0.0.1:0", PeersFile: file, Logger: slog.New(slog.NewTextHandler(&out, nil))})
		if err != nil || len(g.Peers()) != 0 || !strings.Contains(out.String(), "peers.json") {
			t.Errorf("peers file %.10q: %v, log %q", text, err, out.String())
		}
	}
	old := []Peer{{ID: "old", Heard: time.Now().Add(-keepFor - time.Hour).Unix()}, {ID: "new", Heard: time.Now().Unix()}}
	if err := writePeers(file, old); err != nil {
		t.Fatal(err)
	}
	if got := newDirectory(file, slog.New(slog.DiscardHandler)).peers(); len(got) != 1 || got[0].ID != "new" {
		t.Errorf("remembered %+v, want new alone", got)
	}
}

func TestAnnounceIsBounded(t *testing.T) {
	g, err := New(Config{Bind: "[::1]:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Announce(Peer{ID: "a", RaftAddress: strings.Repeat("x", 255), GRPCAddress: strings.Repeat("y", 255)}); err == nil {
		t.Error("more than memberlist carries was announced")
	}
	if err := g.Run(t.Context()); err == nil {
		t.Error("gossip ran for a node that was not announced")
	}
	for _, bad := range []string{"", "localhost:1", "127.0.0.1"} {
		if _, err := New(Config{Bind: bad, Logger: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("bound to %q", bad)
		}
	}
}

func TestMemberlistLogsThroughSlog(t *testing.T) {
	var out bytes.Buffer
	l := stdLogger(slog.New(slog.NewTextHandler(&out, nil)))
	l.Print("[WARN] memberlist: slow meta:([1 2] VS [1 3])")
	l.Print("[ERR] memberlist: gone")
	l.Print("[DEBUG] memberlist: hidden")
	for _, want := range []string{"level=WARN msg=slow\n", "level=ERROR msg=gone"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("log lacks %q: %s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "hidden") {
		t.Errorf("log shows what is below its level: %s", out.String())
	}
}
