package ingest

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// Limits on the reports that a node keeps.
const (
	maxReports     = 4096             // of all agents
	reportKept     = 10 * time.Minute // after the end of the session
	maxInstance    = 255              // octets of an instance's name
	maxTroubleText = 1024             // octets of a report's trouble
)

// Report is the newest report of an agent.
type Report struct {
	Source    string
	Report    *ingestv1.Report // not to be changed
	Received  time.Time        // by this node's clock
	Connected bool             // whether the session is open
}

// reporter is who reports: one of the agents of a source.
type reporter struct{ source, instance string }

// kept is a report, and who brought it.
type kept struct {
	Report
	session *localSession // nil when it has ended
	ended   time.Time     // when it did
}

// reports are those of the agents whose sessions are, or lately were, on this node while it led. They are what operators see;
// nothing else depends on them.
type reports struct {
	now  func() time.Time
	most int

	mu     sync.Mutex
	newest map[reporter]*kept
}

func newReports() *reports {
	return &reports{now: time.Now, most: maxReports, newest: map[reporter]*kept{}}
}

// take keeps a report of a session. A session reports for one instance, the first that it names.
func (r *reports) take(s *localSession, in *ingestv1.Report) {
	in.Instance, in.Trouble = clip(in.GetInstance(), maxInstance), clip(in.GetTrouble(), maxTroubleText)
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.gone {
		return // it was received while the session ended
	}
	if s.instance == nil {
		s.instance = &in.Instance
	}
	in.Instance = *s.instance
	key := reporter{s.session.Source, in.GetInstance()}
	k := r.newest[key]
	if k == nil {
		r.makeRoom()
		k = &kept{}
		r.newest[key] = k
	}
	k.Report = Report{Source: key.source, Report: in, Received: r.now(), Connected: true}
	k.session = s
}

// makeRoom forgets what is old, and then, when there is no room for one more, what was received longest ago: of an ended session
// if there is one.
func (r *reports) makeRoom() {
	r.forget()
	if len(r.newest) < r.most {
		return
	}
	var oldest reporter
	var found *kept
	for key, k := range r.newest {
		if found == nil || (found.session != nil && k.session == nil) ||
			((found.session == nil) == (k.session == nil) && k.Received.Before(found.Received)) {
			oldest, found = key, k
		}
	}
	delete(r.newest, oldest)
}

// forget forgets the reports of agents that have gone for long.
func (r *reports) forget() {
	now := r.now()
	for key, k := range r.newest {
		if k.session == nil && now.Sub(k.ended) > reportKept {
			delete(r.newest, key)
		}
	}
}

// end tells that a session has ended.
func (r *reports) end(s *localSession) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.gone = true; s.instance == nil {
		return
	}
	if k := r.newest[reporter{s.session.Source, *s.instance}]; k != nil && k.session == s {
		k.session, k.Connected, k.ended = nil, false, r.now()
	}
}

// list is all that is kept, by source and instance.
func (r *reports) list() []Report {
	r.mu.Lock()
	r.forget()
	out := make([]Report, 0, len(r.newest))
	for _, k := range r.newest {
		out = append(out, k.Report)
	}
	r.mu.Unlock()
	slices.SortFunc(out, func(a, b Report) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Report.GetInstance(), b.Report.GetInstance()))
	})
	return out
}

// Reports is the newest report of every agent whose session is on this node, as leader, or was so within ten minutes; sorted by
// source and instance.
func (s *Service) Reports() []Report { return s.reports.list() }

// clip is the beginning of a text, of at most so many octets, for a line on a terminal: what would control that is a space.
func clip(s string, octets int) string {
	if len(s) > octets {
		s = strings.ToValidUTF8(s[:octets], "")
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
