package fsm

import (
	"fmt"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Succession is where a state that was cut off from what came behind it goes on.
type Succession struct {
	Index        uint64       // the newest log entry in the state
	Term         uint64       // the term of that entry
	HistorySince binding.Time // where its history begins, and its clock goes on
}

// Succeed makes the state that of a cluster that goes on from it although what came behind it is lost: one restored from an old
// snapshot, or from the log of a survivor. Others may know of what is lost; to none of them it may seem that nothing was:
//
//   - Subscribers hold base times up to now. The history begins behind all of them, so that each is told that it is missing
//     something and reads everything anew (RFC 7653 8.4.1). now is the wall clock in milliseconds since 1970; the state's own clock
//     counts if it is later. BASE_TIME is whole seconds, so the history begins with the next second. The closed time goes on
//     from there: it never runs behind the history.
//   - Feeders hold sequences behind those that the state knows. All epochs are forgotten, so that each feeder is told that its own
//     is unknown and begins anew with everything that it has.
//
// clusterID, unless it is empty, is the cluster's id from now on, a UUID in lower case; an error wraps binding.ErrInvalid.
//
// It is done offline, to a state that no log is applied to any more, and belongs to Raft's goroutine like Apply.
func (f *FSM) Succeed(now binding.Time, clusterID string) (Succession, error) {
	if clusterID != "" {
		if _, err := parseUUID(clusterID); err != nil {
			return Succession{}, fmt.Errorf("succeed: cluster id: %w", err)
		}
	}
	second := binding.Time(1000)
	since := (max(now, f.Clock())/second + 1) * second
	f.mu.Lock()
	for _, src := range f.sources {
		src.epochs, src.resync = nil, 0
	}
	if clusterID != "" {
		f.settings.ClusterID = clusterID
	}
	f.mu.Unlock()
	f.clock.Store(int64(since))
	f.maintained.Store(0)
	f.store.Load().BeginHistory(since)
	return Succession{Index: f.applied, Term: f.term, HistorySince: since}, nil
}
