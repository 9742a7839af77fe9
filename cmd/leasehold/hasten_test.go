package main

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leasehold/leasehold/feed/synthetic"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// TestSignalsHastenTheStop stops a node in the middle of an answer that nobody reads: the first signal leaves everything as it is,
// the second ends the wait for addresses, the third ends the answer with QueryTerminated.
func TestSignalsHastenTheStop(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, "drain={delay: 10m, timeout: 10m}")
	n, ctx := c.Nodes[0], deadline(t, 2*time.Minute)
	source, err := synthetic.New(synthetic.Config{Leases: 150_000}) // more than all buffers on the way hold
	if err != nil {
		t.Fatal(err)
	}
	if err := newAgent(t, c, "kea", source).Run(ctx); err != nil {
		t.Fatal(err)
	}
	conn, err := requestor.Dial(ctx, n.LeasequeryTCP, requestor.Config{ClientID: newDUID(), ReceiveBuffer: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	clients := 0
	q := requestor.Query{Type: dhcpv6.QueryByRelayID, RelayID: source.Relay(0).ID}
	err = conn.Query(ctx, q, func(*requestor.Client) error {
		if clients++; clients > 1 {
			return nil
		}
		signalNode(t, n, syscall.SIGTERM)
		awaitHealth(t, n, "draining")
		if err := askOnce(ctx, n); err != nil {
			t.Errorf("ask while addresses move: %v", err)
		}
		signalNode(t, n, syscall.SIGTERM)
		until(t, ctx, "connections are refused", func() bool { return errors.Is(askOnce(ctx, n), syscall.ECONNREFUSED) })
		signalNode(t, n, syscall.SIGTERM)
		until(t, ctx, "the answer is ended", func() bool {
			log, err := n.Log()
			return err == nil && strings.Contains(log, "answers end with QueryTerminated")
		})
		return nil
	})
	status, ok := errors.AsType[*requestor.StatusError](err)
	if !ok || status.Status != dhcpv6.StatusQueryTerminated || !status.Partial {
		t.Errorf("the answer ended with %v after %d of %d clients, want QueryTerminated", err, clients, source.Clients())
	}
	awaitEnd(t, ctx, n)
}
