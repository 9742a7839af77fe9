package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/feed/synthetic"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// quick are the timers of clusters whose nodes come and go.
var quick = []string{"raft.heartbeat_timeout=500ms", "raft.election_timeout=500ms", "raft.leader_lease=400ms"}

// TestNodeIsAddedReplacedAndWiped takes a cluster through an operator's year: a fourth node is added, a node whose disk is gone
// comes back at its old address, another is replaced at a new one. All the while the other voters are voters and leases come in.
func TestNodeIsAddedReplacedAndWiped(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, quick...)
	feedAll(t, c.GRPC(), 2000)
	four := addNode(t, c)
	requireNoVote(t, c, four.ID)
	requirePromotion(t, c, four.ID)
	requireSame(t, c, 2000)

	three := c.Nodes[2]
	old := three.ID
	must(t, three.Kill())
	must(t, three.Wipe())
	feedAll(t, c.GRPC(), 3000)
	stays := watchVoters(t, c, "node1", "node2", "node4")
	must(t, three.Start())
	must(t, three.AwaitReady(deadline(t, time.Minute)))
	if three.ID == old {
		t.Errorf("node3 lost its disk and kept its id %s", old)
	}
	requireNoVote(t, c, three.ID)
	feedAll(t, c.GRPC(), 4000)
	requirePromotion(t, c, three.ID)
	until(t, deadline(t, time.Minute), "the new node3 is a member in the place of the old one", func() bool {
		s := membersOf(t, c.Nodes[0])
		return len(s) == 4 && !slices.ContainsFunc(s, func(m memberObject) bool { return m.ID == old })
	})
	stays()
	requireSame(t, c, 4000)

	two := c.Nodes[1]
	must(t, two.Kill())
	must(t, two.Wipe())
	five := addNode(t, c, "name=node2")
	requireNoVote(t, c, five.ID)
	requirePromotion(t, c, five.ID)
	grpc := "--cluster=" + c.Nodes[0].GRPC
	if status, _, stderr := leasehold(t, "remove", "node2", grpc); status == 0 || !strings.Contains(stderr, "2 members are named") {
		t.Errorf("remove of an ambiguous name: %d, %s", status, stderr)
	}
	requireOut(t, "remove", two.ID, grpc)
	c.Nodes = slices.DeleteFunc(c.Nodes, func(n *laptop.Node) bool { return n == two })
	until(t, deadline(t, time.Minute), "there are four voters", func() bool { return len(voterIDs(membersOf(t, c.Nodes[0]))) == 4 })
	requireSame(t, c, 4000)
	testWipedInPart(t, c, four)
}

// testWipedInPart takes away parts of what a node has on disk: it refuses to start, and says what to do.
func testWipedInPart(t *testing.T, c *laptop.Cluster, n *laptop.Node) {
	t.Helper()
	must(t, n.Stop(time.Minute))
	for _, lost := range []struct{ file, says string }{{"raft.db", "forgot its votes"}, {"identity.json", "nobody knows whose log it is"}} {
		path := n.DataDir() + "/" + lost.file
		must(t, os.Rename(path, path+".lost"))
		must(t, n.Start())
		<-n.Exited()
		log, err := n.Log()
		must(t, err)
		if end := log[max(0, len(log)-1000):]; !strings.Contains(end, lost.says) || !strings.Contains(end, "empty") || !strings.Contains(end, n.DataDir()) {
			t.Errorf("without %s: %s", lost.file, end)
		}
		must(t, os.Rename(path+".lost", path))
	}
	must(t, n.Start())
	must(t, n.AwaitReady(deadline(t, time.Minute)))
	requireSame(t, c, 4000)
}

// TestEveryAddressChanges gives each node other ports, one after the other, and then, as no quorum could, all at once: one node goes
// on and the others join it anew.
func TestEveryAddressChanges(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, quick...)
	feedAll(t, c.GRPC(), 2000)
	for _, n := range c.Nodes {
		id := n.ID
		must(t, n.Stop(time.Minute))
		must(t, n.Move())
		must(t, n.Start())
		must(t, n.AwaitReady(deadline(t, time.Minute)))
		until(t, deadline(t, time.Minute), "every node knows the new address", func() bool {
			for _, other := range c.Nodes {
				i := slices.IndexFunc(membersOf(t, other), func(m memberObject) bool { return m.ID == id && m.GRPCAddress == n.GRPC })
				if i < 0 {
					return false
				}
			}
			return n.ID == id
		})
	}
	feedAll(t, c.GRPC(), 3000)
	requireSame(t, c, 3000)
	for _, n := range c.Nodes {
		must(t, n.Stop(time.Minute))
		must(t, n.Move())
	}
	newest := newestOf(t, c.Nodes)
	others := slices.DeleteFunc(slices.Clone(c.Nodes), func(n *laptop.Node) bool { return n == newest })
	recoverNode(t, newest, others)
	must(t, newest.Start())
	must(t, newest.AwaitReady(deadline(t, time.Minute)))
	cfg, _, err := config.Load(newest.Config, nil)
	must(t, err)
	for _, n := range others {
		must(t, n.Wipe())
		must(t, n.Configure(fmt.Sprintf("cluster.join=[%q]", cfg.Gossip.Listen)))
		must(t, n.Start())
	}
	must(t, c.AwaitReady(deadline(t, time.Minute)))
	feedAll(t, c.GRPC(), 3500)
	requireSame(t, c, 3500)
}

// TestLeaveIsForGoodAndStopIsNot stops a member, removes the leader, has a node leave, and keeps the last voter.
func TestLeaveIsForGoodAndStopIsNot(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, quick...)
	feedAll(t, c.GRPC(), 500)
	all := "--cluster=" + strings.Join(c.GRPC(), ",")
	must(t, c.Nodes[2].Stop(time.Minute))
	if n := len(voterIDs(membersOf(t, c.Nodes[0]))); n != 3 {
		t.Fatalf("%d voters after a stop, want 3: a stop is no leave", n)
	}
	if status, _, stderr := leasehold(t, "remove", "node2", "--cluster="+c.Nodes[0].GRPC); status == 0 || !strings.Contains(stderr, "node3") {
		t.Errorf("remove one of the two that run: status %d, %s", status, stderr)
	}
	must(t, c.Nodes[2].Start())
	must(t, c.Nodes[2].AwaitReady(deadline(t, time.Minute)))

	leader := leaderOf(t, c)
	requireOut(t, "remove", leader.Name, all)
	until(t, deadline(t, time.Minute), "the removed leader says so", func() bool { return strings.Contains(readyz(t, leader), "removed") })
	must(t, leader.Stop(time.Minute))
	before, err := leader.Log()
	must(t, err)
	must(t, leader.Start())
	until(t, deadline(t, time.Minute), "the removed node says what to do", func() bool {
		log, err := leader.Log()
		must(t, err)
		return strings.Contains(log[len(before):], "was removed from its cluster") && strings.Contains(log[len(before):], leader.DataDir())
	})
	rest := slices.DeleteFunc(slices.Clone(c.Nodes), func(n *laptop.Node) bool { return n == leader })
	must(t, leader.Stop(time.Minute))
	must(t, leader.Wipe())
	must(t, leader.Start())
	must(t, leader.AwaitReady(deadline(t, time.Minute)))
	requireNoVote(t, c, leader.ID)
	requirePromotion(t, c, leader.ID)
	requireSame(t, c, 500)

	requireOut(t, "leave", "--cluster="+leader.GRPC)
	must(t, leader.Stop(time.Minute))
	requireOut(t, "leave", "--cluster="+rest[0].GRPC)
	must(t, rest[0].Stop(time.Minute))
	if status, _, stderr := leasehold(t, "leave", "--cluster="+rest[1].GRPC); status == 0 || !strings.Contains(stderr, "last voter") {
		t.Errorf("the last voter leaves: %d, %s", status, stderr)
	}
	feedAll(t, []string{rest[1].GRPC}, 600)
}

// TestRegion has two nodes without a vote beside three voters. They answer relays by the same rule, are never elected, and their
// silence holds up nobody; their vote comes and goes with their configuration.
func TestRegion(t *testing.T) {
	t.Parallel()
	impatient := append(slices.Clone(quick), "read.max_staleness=3s", "read.hold=1s")
	c := startCluster(t, 3, impatient...)
	source := feedAll(t, c.GRPC(), 1000)
	far := []*laptop.Node{addNode(t, c, append(impatient, "cluster.non_voter=true")...), addNode(t, c, append(impatient, "cluster.non_voter=true")...)}
	voters := voterIDs(membersOf(t, c.Nodes[0]))
	ask := func(n *laptop.Node) (status int, stderr string) {
		status, _, stderr = leasehold(t, "query", "address", source.Client(1).Address.String(), "--server", n.LeasequeryTCP, "--rounds=1")
		return status, stderr
	}
	for _, n := range far {
		if status, stderr := ask(n); status != 0 {
			t.Errorf("%s, a non-voter, answers %d: %s", n.Name, status, stderr)
		}
		must(t, n.Signal(syscall.SIGSTOP))
	}
	feedAll(t, c.GRPC(), 2000) // with both non-voters frozen
	for _, n := range far {
		must(t, n.Signal(syscall.SIGCONT))
	}
	must(t, far[0].Kill())
	until(t, deadline(t, time.Minute), "the other non-voter answers", func() bool { status, _ := ask(far[1]); return status == 0 })
	must(t, far[0].Start())
	must(t, c.AwaitReady(deadline(t, time.Minute)))
	requireSame(t, c, 2000)
	if now := voterIDs(membersOf(t, c.Nodes[0])); !slices.Equal(now, voters) {
		t.Errorf("voters %v came to be %v", voters, now)
	}
	for _, n := range c.Nodes[:2] {
		must(t, n.Kill())
	}
	for _, n := range far { // one of three voters and both non-voters are no quorum, and elect nobody
		until(t, deadline(t, time.Minute), "a non-voter says that it is stale and knows no leader", func() bool {
			r := readyz(t, n)
			return strings.Contains(r, "stale") && strings.Contains(r, "no leader")
		})
		if status, stderr := ask(n); status != exitRefused && status != 1 || !strings.Contains(stderr, "QueryTerminated") {
			t.Errorf("%s answers %d without a quorum: %s", n.Name, status, stderr)
		}
	}
	must(t, c.Nodes[0].Start())
	must(t, c.Nodes[1].Start())
	must(t, c.AwaitReady(deadline(t, time.Minute)))
	testVoteByConfiguration(t, c, far[0])
	requireSame(t, c, 2000)
}

// testVoteByConfiguration gives a non-voter a vote by its configuration, and takes it again.
func testVoteByConfiguration(t *testing.T, c *laptop.Cluster, n *laptop.Node) {
	t.Helper()
	for _, nonVoter := range []bool{false, true} {
		must(t, n.Stop(time.Minute))
		must(t, n.Configure(fmt.Sprintf("cluster.non_voter=%v", nonVoter)))
		must(t, n.Start())
		must(t, n.AwaitReady(deadline(t, time.Minute)))
		until(t, deadline(t, time.Minute), fmt.Sprintf("cluster.non_voter: %v is so", nonVoter), func() bool {
			return slices.Contains(voterIDs(membersOf(t, c.Nodes[0])), n.ID) != nonVoter
		})
	}
}

// addNode adds a node to the cluster and waits until it is ready.
func addNode(t *testing.T, c *laptop.Cluster, set ...string) *laptop.Node {
	t.Helper()
	n, err := c.Add(append(slices.Clone(quick), set...)...)
	must(t, err)
	must(t, n.Start())
	must(t, n.AwaitReady(deadline(t, time.Minute)))
	return n
}

// requireNoVote waits until the status lists a member that was just admitted: it must be without a vote.
func requireNoVote(t *testing.T, c *laptop.Cluster, id string) {
	t.Helper()
	until(t, deadline(t, time.Minute), id+" is listed", func() bool {
		n, listed := statusOf(t, c, id)
		if listed && n.Voter {
			t.Errorf("%s was never seen without a vote", id)
		}
		return listed
	})
}

// requirePromotion waits until a member has its vote.
func requirePromotion(t *testing.T, c *laptop.Cluster, id string) {
	t.Helper()
	seen := ""
	until(t, deadline(t, time.Minute), id+" has a vote", func() bool {
		n, _ := statusOf(t, c, id)
		if n.State != seen {
			t.Logf("%s is %s, voter %v, with %d bindings", n.Name, n.State, n.Voter, n.Bindings)
		}
		seen = n.State
		return n.Voter
	})
}

// statusOf is a member's part of the status.
func statusOf(t *testing.T, c *laptop.Cluster, id string) (n nodeObject, listed bool) {
	t.Helper()
	var s statusObject
	requireJSON(t, &s, "status", "--json", "--cluster="+strings.Join(c.GRPC(), ","))
	for _, n := range s.Nodes {
		if n.ID == id {
			return n, true
		}
	}
	return nodeObject{}, false
}

// watchVoters looks at the membership until the function that it returns is called: the named ones are voters all the time.
func watchVoters(t *testing.T, c *laptop.Cluster, names ...string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		looks := 0
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			voters := map[string]bool{}
			for _, m := range membersOf(t, c.Nodes[0]) {
				voters[m.Name] = voters[m.Name] || m.Voter
			}
			for _, name := range names {
				if !voters[name] {
					t.Errorf("%s has no vote during the replacement", name)
				}
			}
			looks++
			<-tick.C
		}
		t.Logf("looked at the membership %d times", looks)
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

func voterIDs(members []memberObject) (out []string) {
	for _, m := range members {
		if m.Voter {
			out = append(out, m.ID)
		}
	}
	slices.Sort(out)
	return out
}

// feedAll states that there are so many generated leases, all of one source, and no others.
func feedAll(t *testing.T, grpc []string, leases int) *synthetic.Source {
	t.Helper()
	source, err := synthetic.New(synthetic.Config{Leases: leases, Relays: 5, Seed: 1, Valid: 86400})
	must(t, err)
	if _, err := runAgent(deadline(t, time.Minute), feedConfig("year", grpc, 0, slog.New(slog.DiscardHandler), nil), source); err != nil {
		t.Fatalf("feed: %v", err)
	}
	return source
}

func requireSame(t *testing.T, c *laptop.Cluster, leases uint64) {
	t.Helper()
	if n := requireSameState(t, c); n != leases {
		t.Errorf("%d bindings, want %d", n, leases)
	}
}

// membersOf is the membership as a node knows it.
func membersOf(t *testing.T, n *laptop.Node) []memberObject {
	t.Helper()
	r, err := adminOf(t, n).Members(deadline(t, time.Minute), &adminv1.MembersRequest{})
	must(t, err)
	return membersJSON(r)["members"]
}

func requireRun(t *testing.T, args ...string) string {
	t.Helper()
	status, stdout, stderr := leasehold(t, args...)
	if status != 0 {
		t.Fatalf("leasehold %s: status %d\n%s%s", strings.Join(args, " "), status, stdout, stderr)
	}
	return stdout
}

// requireOut has a member removed, or leave. Whoever is told that the leader was lost meanwhile, as on a busy machine it may be, tries again.
func requireOut(t *testing.T, args ...string) {
	t.Helper()
	tried := false
	until(t, deadline(t, time.Minute), strings.Join(args, " "), func() bool {
		status, _, stderr := leasehold(t, args...)
		led := !slices.ContainsFunc([]error{cluster.ErrNotLeader, cluster.ErrNoLeader, cluster.ErrUnknown}, func(err error) bool {
			return strings.Contains(stderr, err.Error())
		})
		if status == 0 || tried && led && strings.Contains(stderr, cluster.ErrNoMember.Error()) {
			return true
		}
		if tried = true; led && !strings.Contains(stderr, "transfer leadership") {
			t.Fatalf("leasehold %s: status %d\n%s", strings.Join(args, " "), status, stderr)
		}
		t.Logf("leasehold %s: %s", strings.Join(args, " "), stderr)
		return false
	})
}

// readyz is what a node says of its readiness; empty when it cannot be asked.
func readyz(t *testing.T, n *laptop.Node) string {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	r, err := client.Get("http://" + n.HTTP + "/readyz")
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	must(t, err)
	return string(b)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
