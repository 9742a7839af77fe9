package feed

import (
	"context"
	"strings"
	"time"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// lookEvery is how often a source is asked for its condition.
const lookEvery = time.Second

// maxTrouble bounds the trouble in a report, in octets.
const maxTrouble = 1024

// Status is where the agent stands now. It may be called at any time from any goroutine.
func (a *Agent) Status() Status { return a.standing.read(a.now()) }

// Reasons is why the agent is not ready, for people: it has no session, or the cluster has not acknowledged a whole resync of this
// epoch, or the source is kept from its server. None: it is ready.
func (a *Agent) Reasons() []string { return a.standing.reasons() }

// ReadinessChanged is closed at the next change of what Reasons says. A source's trouble is noticed within a second.
func (a *Agent) ReadinessChanged() <-chan struct{} { return a.standing.watch() }

// condition is what the source says of itself.
func (a *Agent) condition() Condition {
	if r, ok := a.source.(Reporter); ok {
		return r.Condition()
	}
	return Condition{}
}

// observe looks at the source's condition, and asks for a report now and then, until ctx ends. Only it asks the source: one that
// takes its time to tell holds nobody up.
func (a *Agent) observe(ctx context.Context) {
	look := time.NewTicker(min(lookEvery, a.config.ReportEvery))
	defer look.Stop()
	for told := a.now(); ; {
		a.standing.look(a.condition())
		if now := a.now(); now.Sub(told) >= a.config.ReportEvery {
			told = now
			signal(a.standing.due)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// report is what the agent says of itself to the cluster now.
func (a *Agent) report() *ingestv1.Report {
	now, s := a.now(), a.Status()
	out := &ingestv1.Report{Instance: a.config.Instance, ClockMs: now.UnixMilli(), LagMs: milliseconds(s.Lag),
		ChangeAgeMs: ageOf(s.LastChange, now), ResyncAgeMs: ageOf(s.LastResync, now),
		RefusedChanges: a.Totals().Refused, RefusedRecords: s.Condition.Refused, Trouble: clip(s.Condition.Trouble, maxTrouble)}
	if s.Condition.Measured {
		skew := s.Condition.Skew.Milliseconds()
		out.SkewMs = &skew
	}
	return out
}

// ageOf is how long ago an instant was, in milliseconds; nil for one that never was.
func ageOf(t, now time.Time) *uint64 {
	if t.IsZero() {
		return nil
	}
	age := milliseconds(now.Sub(t))
	return &age
}

func milliseconds(d time.Duration) uint64 { return uint64(max(0, d.Milliseconds())) }

// clip is text of at most so many octets that may be sent: a string on the wire is UTF-8.
func clip(s string, octets int) string {
	if len(s) > octets {
		s = s[:octets]
	}
	return strings.ToValidUTF8(s, "")
}
