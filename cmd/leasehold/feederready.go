package main

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leasehold/leasehold/feed"
)

// feederQuiet is how long nothing is told of the agents' readiness after something was: one that comes and goes does not fill the
// log.
const feederQuiet = time.Second

// running holds the agents of a process: of each source the one that runs, nil while none does.
type running struct {
	mu      sync.Mutex
	agents  []*feed.Agent
	changed chan struct{} // capacity 1: signalled when agents or what they say of their readiness may have changed
}

func newRunning(sources int) *running {
	return &running{agents: make([]*feed.Agent, sources), changed: make(chan struct{}, 1)}
}

func (r *running) tell() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// run runs an agent as that of a source, and tells of every change of its readiness meanwhile.
func (r *running) run(ctx context.Context, i int, a *feed.Agent) error {
	r.set(i, a)
	defer r.set(i, nil)
	watching, end := context.WithCancel(ctx)
	var watched sync.WaitGroup
	watched.Go(func() { r.watch(watching, a) })
	defer watched.Wait()
	defer end()
	return a.Run(ctx)
}

func (r *running) watch(ctx context.Context, a *feed.Agent) {
	for {
		changed := a.ReadinessChanged()
		r.tell() // what has changed until now
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (r *running) set(i int, a *feed.Agent) {
	r.mu.Lock()
	r.agents[i] = a
	r.mu.Unlock()
	r.tell()
}

// list is the agents now, in the order of their sources.
func (r *running) list() []*feed.Agent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.agents)
}

// reasons is why the agents are not ready, each with the name of its source; none when all are.
func (f *feederProcess) reasons() (out []string) {
	for i, a := range f.running.list() {
		name := f.sources[i].name
		if a == nil {
			out = append(out, name+": the agent does not run")
			continue
		}
		for _, r := range a.Reasons() {
			out = append(out, name+": "+r)
		}
	}
	return out
}

// watchReadiness shows the agents' readiness in `systemctl status` and in the log as it changes, until ctx ends.
func (f *feederProcess) watchReadiness(ctx context.Context) {
	var alive <-chan time.Time
	if every := f.supervisor.watchdog(); every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		alive = ticker.C
	}
	told, changed, quiet := []string{"not told yet"}, f.running.changed, (<-chan time.Time)(nil)
	for {
		select {
		case <-quiet:
			changed, quiet = f.running.changed, nil
		case <-changed:
			if reasons := f.reasons(); !slices.Equal(reasons, told) {
				told = reasons
				f.supervisor.status(reasons)
				f.log.Info("readiness", "ready", len(reasons) == 0, "reasons", strings.Join(reasons, "; "))
				changed, quiet = nil, time.After(feederQuiet)
			}
		case <-alive:
			f.supervisor.alive()
		case <-ctx.Done():
			return
		}
	}
}
