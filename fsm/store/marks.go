package store

import "github.com/leasehold/leasehold/fsm/binding"

// marks is the changes that were made since they were taken last, in order. It is the writer's.
type marks struct {
	limit int // how many are kept at most; 0: none is
	made  []binding.Mark
	lost  uint64 // the number of the newest that was thrown away
}

// keepMarks is up to which size the list is used again: a changed link may have moved millions of bindings in one entry.
const keepMarks = 1 << 17

// CollectMarks makes the store note its changes, at most limit of them, for TakeMarks. It belongs to the writer.
func (s *Store) CollectMarks(limit int) { s.marks = marks{limit: limit} }

// TakeMarks is the changes made since the call before, in order; they hold until the next write. lost is not 0 if there were more
// than the limit: then those up to that number are missing. It belongs to the writer.
func (s *Store) TakeMarks() (made []binding.Mark, lost uint64) {
	m := &s.marks
	made, lost = m.made, m.lost
	m.made, m.lost = m.made[:0], 0
	if cap(made) > keepMarks {
		m.made = nil
	}
	return made, lost
}

// Change is the number of the newest change. It belongs to the writer.
func (s *Store) Change() uint64 { return s.mark }

// nextMark numbers the next change, which is of a client at the place.
func (s *Store) nextMark(lh uint64) uint64 {
	s.mark = max(s.mark, binding.ChangesFrom(s.clock)) + 1
	m := &s.marks
	if m.limit > 0 {
		if len(m.made) == m.limit {
			m.lost, m.made = m.made[m.limit-1].Change, m.made[:0]
		}
		m.made = append(m.made, binding.Mark{Change: s.mark, Place: lh})
	}
	return s.mark
}

// Continue makes the store, freshly restored, take the place of another: LinksChanged goes on growing, marks are collected as
// before, and what sources have said in vain is counted on, from none. It belongs to the writer.
func (s *Store) Continue(old *Store) {
	s.linksBefore = old.linksChanged() + 1
	s.CollectMarks(old.marks.limit)
	s.disputes.follow(&old.disputes, s.clock)
}

// linksChanged counts what may make a link-address select other links: links that came, changed or went, and link-addresses of
// relays whose bindings came to a link or left it.
func (s *Store) linksChanged() uint64 { return s.linksBefore + s.links.Changes() + s.census.changes }
