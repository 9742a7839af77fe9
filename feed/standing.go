package feed

import (
	"slices"
	"sync"
	"time"
)

// Status is where an agent stands, for people and for metrics.
type Status struct {
	Node       string        // address of the node that has the session; empty: none has
	Lag        time.Duration // age of the oldest change that is not acknowledged; 0 when all are
	LastChange time.Time     // when the source stated its newest change; zero: never
	LastResync time.Time     // when the end of a resync was acknowledged last; zero: never
	Condition  Condition     // what the source said of itself within the last second; zero for one that is no Reporter
}

// standing keeps Status for several goroutines, and tells of changes.
type standing struct {
	mu         sync.Mutex
	window     *window // of the present epoch; nil before the first and after the last
	node       string
	lost       string // why there is no session
	complete   bool   // whether a resync of the present epoch is acknowledged
	lastChange time.Time
	lastResync time.Time
	condition  Condition // as it was looked at last
	changed    chan struct{}

	due chan struct{} // capacity 1: signalled when a report is to be sent
}

// notify wakes those who watch; the lock is held.
func (s *standing) notify() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// watch gives a channel that is closed at the next change.
func (s *standing) watch() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// begin begins an epoch; nil ends the last one.
func (s *standing) begin(w *window) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.window, s.complete = w, false
	s.notify()
}

// connected tells of a session.
func (s *standing) connected(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node, s.lost = node, ""
	s.notify()
}

// disconnected tells why a session ended, or did not come about.
func (s *standing) disconnected(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.node == "" && s.lost != "" // what fails next, every moment, is told to those who ask
	s.node = ""
	if err != nil {
		s.lost = err.Error()
	}
	if !known {
		s.notify()
	}
}

// stated tells that the source has stated changes.
func (s *standing) stated(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastChange = at
}

// acknowledged tells what the cluster has acknowledged.
func (s *standing) acknowledged(t tally, now time.Time) {
	if t.resyncs == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastResync = now
	signal(s.due)
	if !s.complete {
		s.complete = true
		s.notify()
	}
}

// look keeps the condition of the source, and tells those who watch, and the session, when its trouble has changed.
func (s *standing) look(c Condition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.condition.Trouble != c.Trouble
	s.condition = c
	if changed {
		s.notify()
		signal(s.due)
	}
}

func (s *standing) read(now time.Time) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Status{Node: s.node, LastChange: s.lastChange, LastResync: s.lastResync, Condition: s.condition}
	if s.window != nil {
		out.Lag = s.window.lag(now)
	}
	return out
}

// reasons is why the agent is not ready.
func (s *standing) reasons() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node == "" {
		reason := "no node of the cluster has taken the feed yet"
		if s.lost != "" {
			reason = "no session with the cluster: " + s.lost
		}
		out = append(out, reason)
	}
	if !s.complete {
		out = append(out, "the cluster has not acknowledged everything that the server has")
	}
	if s.condition.Trouble != "" {
		out = append(out, s.condition.Trouble)
	}
	return slices.Clip(out)
}
