package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/feed/synthetic"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

const (
	demoReceiveBuffer = 64 << 10        // octets: a relay that is slow to read
	demoCompletion    = 5 * time.Second // from the death of the leader to the complete answer
)

// generatedSource makes up the leases that are generated.
func (d *demo) generatedSource() (*synthetic.Source, error) {
	return synthetic.New(synthetic.Config{Leases: d.generated, Relays: 1, Seed: 1})
}

func (d *demo) feedGenerated() error {
	source, err := d.generatedSource()
	if err != nil {
		return err
	}
	begin := time.Now()
	agent, err := runAgent(d.ctx, feedConfig("generated", d.cluster.GRPC(), 0, slog.New(slog.DiscardHandler), newProgress(os.Stderr)), source)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	d.say("%d generated leases behind one relay are acknowledged, %.0f a second", agent.Totals().Leases, float64(agent.Totals().Leases)/took.Seconds())
	return nil
}

// killTheLeader asks the leader for everything behind the relay, reads slowly, kills the leader when half of the answer has come,
// and goes on at the other nodes.
func (d *demo) killTheLeader() error {
	source, err := d.generatedSource()
	if err != nil {
		return err
	}
	leader, others, err := d.leaderFirst()
	if err != nil {
		return err
	}
	q := requestor.Query{Type: dhcpv6.QueryByRelayID, RelayID: source.Relay(0).ID, RelayData: true}
	whole := &tally{}
	if err := requestor.QueryAny(d.ctx, others[:1], whole.config(nil), q, whole.add); err != nil {
		return fmt.Errorf("ask %s for everything: %w", others[0], err)
	}
	d.say("a complete answer is %d clients with %d bindings in %d octets", len(whole.clients), whole.bindings, whole.octets.Load())
	var died time.Time
	broken := &tally{killAt: whole.octets.Load() / 2, kill: func() {
		d.say("half of the answer has come from the leader, %s: kill -9 %d", leader.Name, leader.PID)
		if err := leader.Kill(); err != nil {
			d.say("%v", err)
		}
		died, d.killed = time.Now(), leader.LeasequeryTCP
	}}
	servers := append([]string{leader.LeasequeryTCP}, others...)
	if err := requestor.QueryAny(d.ctx, servers, broken.config(&leader.LeasequeryTCP), q, broken.add); err != nil {
		return fmt.Errorf("ask again after the leader's death: %w", err)
	}
	took := time.Since(died)
	switch first := broken.first.Load(); {
	case died.IsZero() || first >= whole.octets.Load():
		return errors.New("the whole answer had come before the leader was killed")
	case took > demoCompletion:
		return fmt.Errorf("the answer was complete %v after the leader's death, want within %v", took, demoCompletion)
	default:
		d.say("the leader's answer ended after %d octets, before LEASEQUERY-DONE", first)
	}
	if err := broken.check(source); err != nil {
		return fmt.Errorf("the answer after the leader's death: %w", err)
	}
	d.say("the answer is complete elsewhere %.2f s after the leader's death: %d clients, each once", took.Seconds(), len(broken.clients))
	return nil
}

// leaderFirst finds the leader, and where the others answer.
func (d *demo) leaderFirst() (leader *laptop.Node, others []string, err error) {
	call := adminCall{cluster: d.cluster.GRPC(), timeout: 10 * time.Second}
	name := ""
	err = call.do(d.ctx, func(ctx context.Context, admin adminv1.AdminClient) error {
		r, err := admin.Status(ctx, &adminv1.StatusRequest{})
		name = r.GetLeader()
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("find the leader: %w", err)
	}
	for _, n := range d.cluster.Nodes {
		if n.Name == name {
			leader = n
		} else {
			others = append(others, n.LeasequeryTCP)
		}
	}
	if leader == nil {
		return nil, nil, fmt.Errorf("find the leader: there is none among %s", d.cluster.Describe())
	}
	return leader, others, nil
}

// tally counts an answer: its octets as they come, its clients when it is complete.
type tally struct {
	clients  []string // DUIDs, as told
	bindings int
	octets   atomic.Int64 // of all connections
	first    atomic.Int64 // of the connections to the server that is to die
	killAt   int64        // of these, when to kill
	kill     func()
}

// config is a requestor that reads slowly and whose octets are counted; first is the server that is to die.
func (t *tally) config(first *string) requestor.Config {
	return requestor.Config{ClientID: newDUID(), ReceiveBuffer: demoReceiveBuffer, Dial: func(ctx context.Context, server string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
		if err != nil {
			return nil, err
		}
		if err := conn.(*net.TCPConn).SetReadBuffer(demoReceiveBuffer); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return &countedConn{Conn: conn, tally: t, doomed: first != nil && server == *first}, nil
	}}
}

func (t *tally) add(c *requestor.Client) error {
	t.clients = append(t.clients, string(c.DUID))
	t.bindings += len(c.Addresses) + len(c.Prefixes)
	return nil
}

// check compares the answer with what was generated: every client, each once, with all it has.
func (t *tally) check(source *synthetic.Source) error {
	want := make([]string, 0, source.Clients())
	for i := range source.Clients() {
		want = append(want, string(source.Client(i).DUID))
	}
	got := slices.Sorted(slices.Values(t.clients))
	slices.Sort(want)
	if d := len(got) - len(slices.Compact(slices.Clone(got))); d > 0 {
		return fmt.Errorf("%d clients came twice", d)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%d clients came, %d were generated, and they are not the same", len(got), len(want))
	}
	return nil
}

// countedConn counts what is read and kills the server in the middle of it.
type countedConn struct {
	net.Conn
	tally  *tally
	doomed bool
}

// Read reads, counts, and kills once enough has come.
func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tally.octets.Add(int64(n))
	if !c.doomed {
		return n, err
	}
	if read := c.tally.first.Add(int64(n)); c.tally.kill != nil && read >= c.tally.killAt {
		kill := c.tally.kill
		c.tally.kill = nil
		kill()
	}
	return n, err
}
