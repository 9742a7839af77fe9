package store

import "github.com/leasehold/leasehold/fsm/binding"

// BeginHistory lets the history begin at t, or at the store's clock if that is later, and the clock and the numbers of changes go on
// from there: whoever asks for changes of before is told that history does not reach so far (RFC 7653 8.4.1). It is for a store
// that is cut off from what readers have seen since, and never part of applying an entry.
func (s *Store) BeginHistory(t binding.Time) {
	s.begin(s.index, t)
	defer s.mu.Unlock()
	s.historySince = max(s.historySince, s.clock)
	s.mark = max(s.mark, ChangeAt(s.historySince)) // a reader that begins now is not behind the history
}
