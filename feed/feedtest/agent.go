//go:build linux

package feedtest

import (
	"fmt"
	"testing"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// Agent is `leasehold feed` as a process. Its process, once started, is embedded: Kill, Freeze, Thaw, Stop, Output, …
type Agent struct {
	*netlab.Process
	Host *netlab.Host

	tb     testing.TB
	binary string
	args   []string
}

// NewAgent makes an agent of the cluster that runs on a host; args are those after `leasehold feed`, but --cluster. It starts
// nothing.
func (c *Cluster) NewAgent(host *netlab.Host, args ...string) *Agent {
	a := &Agent{Host: host, tb: c.tb, binary: c.binary, args: append([]string{"feed"}, append(args, "--cluster", c.GRPC())...)}
	c.tb.Cleanup(func() {
		if c.tb.Failed() && a.Process != nil {
			c.tb.Logf("the agent wrote:\n%s", last(a.Output(), 6000))
		}
	})
	return a
}

// Start starts the agent.
func (a *Agent) Start() {
	a.tb.Helper()
	a.Process = a.Host.Start(a.binary, a.args...)
}

// Awake fails the test if the agent has ended by itself.
func (a *Agent) Awake() error {
	if a.Running() {
		return nil
	}
	return &neverError{fmt.Errorf("the agent ended: %w:\n%s", a.Err(), last(a.Output(), 6000))}
}

// last is the end of a text.
func last(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}
