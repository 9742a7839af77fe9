package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leasehold/leasehold/feed"
)

// logLines hands on what is logged, a line at a time.
type logLines chan string

func (l logLines) Write(p []byte) (int, error) {
	l <- string(bytes.Clone(p))
	return len(p), nil
}

// speechless is a source that has nothing to say.
type speechless struct{}

func (speechless) Run(ctx context.Context, _ feed.Sink) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// TestFeederTellsItsReadiness: what is told changes with the agents, and follows the last of several quick changes.
func TestFeederTellsItsReadiness(t *testing.T) {
	lines := make(logLines, 100)
	log := slog.New(slog.NewTextHandler(lines, nil))
	f := &feederProcess{log: log, supervisor: supervisor{log}, running: newRunning(1), sources: []feederSource{{name: "kea"}}}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { f.watchReadiness(ctx) })
	wait := func(want string) {
		t.Helper()
		for end := time.After(time.Minute); ; {
			select {
			case line := <-lines:
				if strings.Contains(line, want) {
					return
				}
			case <-end:
				t.Fatalf("%q is not told", want)
			}
		}
	}
	agent, err := feed.New(feedConfig("kea", []string{"127.0.0.1:1"}, 0, nil, nil), speechless{})
	if err != nil {
		t.Fatal(err)
	}
	runs, end := context.WithCancel(ctx)
	all.Go(func() { _ = f.running.run(runs, 0, agent) }) // the end of its context
	wait("no session with the cluster")
	end()
	wait("kea: the agent does not run")
}
