package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/feed/upstream"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// TestClusterFedOverTLS feeds a cluster with the leases of the sample from a node that wants TLS of everybody. Whoever has no certificate is
// refused, which is trouble.
func TestClusterFedOverTLS(t *testing.T) {
	t.Parallel()
	n := &tlsNode{t: t, dir: t.TempDir()}
	n.issue("ca")
	n.issue("server", "::1", "node1.example", "--out", "node1")
	n.issue("requestor", "bng-1")
	n.node = startCluster(t, 1, "tls.mode=required", "tls.certificate="+n.path("node1.pem"), "tls.key="+n.path("node1.key"),
		"tls.requestor_ca="+n.path("ca.pem"), "active.enabled=true", `requestors=[{name: bng, names: [bng-1]}]`).Nodes[0]
	job := keaJob{files: []string{sampleLeases}, keaConfig: sampleConfig, once: true, shift: true, source: "kea", cluster: []string{n.node.GRPC}, quiet: true, out: io.Discard}
	_, err := job.run(deadline(t, time.Minute))
	must(t, err)
	c := startCluster(t, 1)

	asking := campusUpstream([]string{n.node.LeasequeryTCP})
	asking.RelayIDs, asking.Links, asking.Active = nil, nil, true
	for name, a := range linkAddresses() {
		asking.Links = append(asking.Links, upstream.Link{Name: name, Ask: []netip.Addr{a}})
	}
	run := func() (s *upstream.Source, stop func()) {
		s, err := upstream.New(asking)
		must(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		agent, ended := newAgent(t, c, "upstream", s), make(chan error, 1)
		go func() { ended <- agent.Run(ctx) }()
		stop = sync.OnceFunc(func() {
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the feeder ended with %v", err)
			}
		})
		t.Cleanup(stop)
		return s, stop
	}
	s, stop := run()
	until(t, deadline(t, time.Minute), "a requestor in clear has trouble", func() bool { return s.Condition().Trouble != "" })
	stop()
	if got := listed(t, c.Nodes[0]); len(got) > 0 {
		t.Errorf("%d bindings without TLS", len(got))
	}
	t.Logf("in clear: %s", s.Condition().Trouble)

	asking.Requestor.TLS, err = starttls.NewClient(starttls.ClientFiles{CA: n.path("ca.pem"), Certificate: n.path("bng-1.pem"), Key: n.path("bng-1.key")})
	must(t, err)
	s, _ = run()
	want := listed(t, n.node)
	until(t, deadline(t, time.Minute), "the copy has what the original has, and no trouble", func() bool {
		return maps.Equal(listed(t, c.Nodes[0]), want) && s.Condition().Trouble == ""
	})
	if c := s.Condition(); len(want) < 400 || c.Refused > 0 {
		t.Errorf("%d bindings, %+v", len(want), c)
	}
}

// TestUpstreamPage: what docs/upstream.md shows can be used.
func TestUpstreamPage(t *testing.T) {
	blocks := codeBlocks(t, "upstream.md", "yaml")
	if len(blocks) != 1 {
		t.Fatalf("docs/upstream.md has %d pieces of configuration, want 1", len(blocks))
	}
	f, warnings, err := config.ParseFeeder("feed.yaml", []byte(blocks[0]), nil)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	if _, err := openUpstream(f.Sources[0].Name, f.Sources[0].Upstream, f.Cluster, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
}
