package main

import (
	"context"
	"slices"
	"time"
)

// feederLook is how often the agents' readiness is looked at for those who watch it. Nothing waits for it.
const feederLook = time.Second

// reasons is why the agents are not ready, each with the name of its source; none when all are.
func (f *feederProcess) reasons() (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, a := range f.agents {
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

// watchReadiness shows the agents' readiness in `systemctl status`, until ctx ends.
func (f *feederProcess) watchReadiness(ctx context.Context) {
	look := time.NewTicker(feederLook)
	defer look.Stop()
	var alive <-chan time.Time
	if every := f.supervisor.watchdog(); every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		alive = ticker.C
	}
	told := []string{"not told yet"}
	for {
		if reasons := f.reasons(); !slices.Equal(reasons, told) {
			told = reasons
			f.supervisor.status(reasons)
			f.log.Info("readiness", "ready", len(reasons) == 0, "reasons", reasons)
		}
		select {
		case <-look.C:
		case <-alive:
			f.supervisor.alive()
		case <-ctx.Done():
			return
		}
	}
}
