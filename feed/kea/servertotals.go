package kea

import "sync"

// ServerTotals is what a Server has done since it was made.
type ServerTotals struct {
	Requests uint64 // of peers, also those that could not be read
	Unread   uint64 // of these, requests that could not be read
	Turned   uint64 // connections that were closed because there were too many
	Pushed   uint64 // leases and ends that arrived in them
	Refused  uint64 // leases that could not be used, by whatever way they came
	Degraded uint64 // leases stated without relay data or name, which cannot be used
	Late     uint64 // requests answered with an error because the cluster did not acknowledge in time
	LeftOut  uint64 // pieces of news left out because newer ones were known
	Asked    uint64 // leases that Kea was asked for because nobody could tell which news was the newest
	Resyncs  uint64 // full statements that ended
	Gaps     uint64 // times that something may have been missed
}

// serverLedger keeps ServerTotals for several goroutines.
type serverLedger struct {
	mu     sync.Mutex
	totals ServerTotals
}

func (l *serverLedger) add(f func(*ServerTotals)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.totals)
}

func (l *serverLedger) read() ServerTotals {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals
}

// Totals is what was done so far; it may be called at any time from any goroutine.
func (s *Server) Totals() ServerTotals { return s.ledger.read() }
