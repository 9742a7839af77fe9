package ladder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/feed/synthetic"
)

// Config says what to measure.
type Config struct {
	Binary   string                           // the leasehold binary
	Dir      string                           // an empty folder on the disk to measure
	Bindings int                              // with how many to measure memory; half of them for ingest and restart
	Relays   int                              // behind how many relays they are
	Say      func(format string, args ...any) // told of progress
}

const (
	referenceTime = 4 * time.Second // for each reference
	streamTime    = 6 * time.Second
	echoes        = 5000
)

// climb is one run of the ladder.
type climb struct {
	Config
	ctx     context.Context
	cluster *laptop.Cluster
	rows    []Row
	before  int64 // octets of resident memory of an empty node
}

// Run takes every rung of the ladder. The cluster that it measures is ended when it returns.
func Run(ctx context.Context, c Config) (rows []Row, err error) {
	bare, err := bareRaft(ctx, filepath.Join(c.Dir, "bare"), referenceTime)
	if err != nil {
		return nil, err
	}
	c.Say("bare raft, three nodes, fsync: %.0f bindings/s", bare)
	settings, err := certificates(filepath.Join(c.Dir, "tls"))
	if err != nil {
		return nil, err
	}
	cluster, err := laptop.New(laptop.Config{Binary: c.Binary, Dir: filepath.Join(c.Dir, "cluster"), Nodes: 3, Set: append(settings, "log.level=warn", "active.enabled=true", "active.insecure=true", "bulk.max_connections=200", "udp.rate=0")})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	if err := cluster.Start(ctx); err != nil {
		return nil, err
	}
	m := &climb{Config: c, ctx: ctx, cluster: cluster}
	if m.before, _, err = m.memory(); err != nil {
		return nil, err
	}
	for _, rung := range []func() error{func() error { return m.ingest(bare) }, m.restart, m.footprint, m.stream, m.sealed, m.latency, m.udp, m.active} {
		if err := rung(); err != nil {
			return m.rows, err
		}
	}
	return m.rows, nil
}

// note adds a figure and tells of it.
func (m *climb) note(r Row) {
	m.rows = append(m.rows, r)
	m.Say("%s: %s %s", r.Name, number(r.Value), r.Unit)
}

// feed states so many generated leases and returns how long that took.
func (m *climb) feed(leases int) (time.Duration, error) {
	source, err := synthetic.New(synthetic.Config{Leases: leases, Relays: m.Relays, Seed: 1, Valid: 86400, Preferred: 43200})
	if err != nil {
		return 0, err
	}
	agent, err := feed.New(feed.Config{Source: "ladder", Cluster: m.cluster.GRPC(), Logger: slog.New(slog.DiscardHandler),
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}}, source)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := agent.Run(m.ctx); err != nil {
		return 0, fmt.Errorf("feed %d leases: %w", leases, err)
	}
	return time.Since(begin), nil
}

func (m *climb) ingest(bare float64) error {
	took, err := m.feed(m.Bindings / 2)
	if err != nil {
		return err
	}
	m.note(row("ingest, three nodes, fsync, acknowledged by a majority", float64(m.Bindings/2)/took.Seconds(), "bindings/s", bare,
		"bare raft, 1,024 bindings of 200 octets an entry"))
	return nil
}

// restart stops all nodes in order, starts them, and waits until all are ready.
func (m *climb) restart() error {
	if err := m.cluster.Stop(); err != nil {
		return err
	}
	begin := time.Now()
	if err := m.cluster.Start(m.ctx); err != nil {
		return err
	}
	m.note(row(fmt.Sprintf("ready after a restart of all nodes with %d bindings", m.Bindings/2), time.Since(begin).Seconds(), "s", 0, ""))
	return nil
}

// footprint fills the cluster up and looks at the memory of each node.
func (m *climb) footprint() error {
	if _, err := m.feed(m.Bindings); err != nil {
		return err
	}
	least, most, err := m.memory()
	if err != nil {
		return err
	}
	per := func(octets int64) float64 { return float64(octets-m.before) / float64(m.Bindings) }
	m.note(row(fmt.Sprintf("memory of a whole node, the largest of three, with %d bindings", m.Bindings), per(most), "octets a binding", 0, ""))
	m.note(row(fmt.Sprintf("memory of a whole node, the smallest of three, with %d bindings", m.Bindings), per(least), "octets a binding", 0, ""))
	return nil
}

// memory is the resident memory of the smallest and the largest node, in octets.
func (m *climb) memory() (least, most int64, err error) {
	for i, n := range m.cluster.Nodes {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID))
		if err != nil {
			return 0, 0, fmt.Errorf("read the memory of %s: %w", n.Name, err)
		}
		_, rest, _ := strings.Cut(string(b), "VmRSS:")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			return 0, 0, fmt.Errorf("read the memory of %s: no VmRSS", n.Name)
		}
		kib, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read the memory of %s: %w", n.Name, err)
		}
		most = max(most, kib<<10)
		if i == 0 || kib<<10 < least {
			least = kib << 10
		}
	}
	return least, most, nil
}

// relayIDs are the relay-ids of the relays that the generated leases are behind.
func (m *climb) relayIDs() ([][]byte, error) {
	source, err := synthetic.New(synthetic.Config{Leases: m.Bindings, Relays: m.Relays, Seed: 1})
	if err != nil {
		return nil, err
	}
	ids := make([][]byte, m.Relays)
	for i := range ids {
		ids[i] = source.Relay(i).ID
	}
	return ids, nil
}

func (m *climb) stream() error {
	relays, err := m.relayIDs()
	if err != nil {
		return err
	}
	s, err := streamRelays(m.ctx, dialClear, m.cluster.Nodes[0].LeasequeryTCP, relays, streamTime)
	if err != nil {
		return err
	}
	ceiling, err := loopbackCeiling(s.octets/max(1, s.messages), referenceTime)
	if err != nil {
		return err
	}
	messages := float64(s.messages) / s.took.Seconds()
	m.note(row("bulk answer, one connection, messages", messages, "messages/s", ceiling, "pre-encoded frames of the same size over loopback"))
	m.note(row("bulk answer, one connection, two bindings a client", 2*messages, "bindings/s", 0, ""))
	return nil
}

func (m *climb) latency() error {
	source, err := synthetic.New(synthetic.Config{Leases: m.Bindings, Relays: m.Relays, Seed: 1})
	if err != nil {
		return err
	}
	echo, err := echoLatency(echoes)
	if err != nil {
		return err
	}
	for _, n := range m.cluster.Nodes[:1] {
		q, err := oneLease(m.ctx, n.LeasequeryTCP, source.Client(1).Address, echoes)
		if err != nil {
			return err
		}
		m.note(row("bulk answer to one lease, connection open, p50", ms(q.p50), "ms", ms(echo.p50), "loopback echo, p50"))
		m.note(row("bulk answer to one lease, connection open, p99", ms(q.p99), "ms", ms(echo.p99), "loopback echo, p99"))
	}
	return nil
}
