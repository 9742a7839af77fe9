package leasequery

import "github.com/leasehold/leasehold/fsm/binding"

const (
	feedPage    = 256  // marks that are taken from the feed at once: 4 KiB in each subscription
	historyPage = 4096 // marks that are taken from the past at once, where the feed does not reach back: 64 KiB until it does
	lookAt      = 1024 // changes that one call looks at, at most
	// entriesALook is how many entries of a client are as much work as another change: one may have thousands of ends.
	entriesALook = 8
)

// lastTold is the client that was told of last, and what of it, so that ends that were told early are not told again at their own
// place.
type lastTold struct {
	link binding.LinkID
	duid []byte // of up to 130 octets
	live uint64 // what was in force and changed behind this was not told
	ends uint64 // ends up to here were
}

// look takes the newest view, behind what has to be recalled first.
func (s *Subscription) look() {
	if s.behind {
		s.recall()
	}
	s.changed = s.history.Feed().Changed()
	s.view = s.history.Latest()
	s.answer.view = s.view
	if s.missing != "" {
		s.linksDiffer() // what is told from here on is told of the links of this view
		return
	}
	if s.position >= s.newest {
		s.level = s.position
	}
	switch {
	case s.view.Change() < s.newest:
		s.lose(lostState, "this server has gone back to an older state")
	case s.position < s.view.HistoryAfter():
		s.lose(lostMidway, "changes before %d s of base time are no longer kept", baseTimeAbove(s.view.HistorySince()))
	case s.linksDiffer():
		s.lose(lostLinks, "other links have the link-address %v now", s.linkAddress)
	case s.answer.pending:
		s.answer.pending = s.again()
	}
	s.newest = s.view.Change()
}

// advance finds the next change that is to be told of.
func (s *Subscription) advance() bool {
	for s.looked = 0; s.looked < lookAt; s.looked++ {
		m, ok := s.peek()
		if !ok && s.view == nil {
			return false
		}
		if !ok {
			s.waiting = true
			if s.position >= s.view.Change() || len(s.marks) > s.next {
				s.seen = max(s.seen, s.view.Clock())
				s.position = max(s.position, binding.ChangesFrom(s.view.Clock()))
			}
			return false
		}
		if s.catchingUp && m.Change > s.target {
			return false
		}
		s.next++
		s.position, s.seen = m.Change, max(s.seen, binding.ChangeTime(m.Change))
		if s.examine(m) {
			s.answer.clients++
			s.answer.bindings += uint64(len(s.answer.portrait.shown))
			return true
		}
	}
	return false
}

// caughtUp tells whether all was told that had changed when the subscription was accepted.
func (s *Subscription) caughtUp() bool {
	return s.position >= s.target || s.next < len(s.marks) && s.marks[s.next].Change > s.target
}

// peek is the next change behind the position that the view knows.
func (s *Subscription) peek() (m binding.Mark, ok bool) {
	if s.next == len(s.marks) && !s.fill() || s.next == len(s.marks) || s.marks[s.next].Change > s.view.Change() {
		return binding.Mark{}, false
	}
	return s.marks[s.next], true
}

// fill reads the next page of marks from the feed. Where the feed does not reach back it gives the view back and is false: recall comes
// first, which may wait.
func (s *Subscription) fill() bool {
	s.position, s.upTo = max(s.position, min(s.upTo, s.view.Change())), 0
	s.next = 0
	marks, ok := s.history.Feed().After(s.position, s.page[:0])
	if !ok {
		s.marks, s.behind = s.marks[:0], true
		s.Pause()
		return false
	}
	s.marks = marks
	s.forgetPast()
	return true
}

// recall reads the next page of marks from what the engine's subscriptions share of the past. It is for a time without a view.
func (s *Subscription) recall() {
	past := &s.answer.engine.past
	if !s.recalling {
		s.recalling = true
		past.enter()
	}
	if cap(s.marks) < historyPage {
		s.marks = make([]binding.Mark, 0, historyPage)
	}
	s.behind, s.next = false, 0
	if s.marks, s.upTo = past.take(s.history, s.position, s.marks[:0]); len(s.marks) == 0 {
		s.position, s.upTo = max(s.position, s.upTo), 0
	}
}

// forgetPast tells that the past is no longer read.
func (s *Subscription) forgetPast() {
	if s.behind = false; s.recalling {
		s.recalling = false
		s.answer.engine.past.leave()
	}
}

// examine finds out what to show at a change.
func (s *Subscription) examine(m binding.Mark) bool {
	a := &s.answer
	s.mark = m
	a.now = binding.ChangeTime(m.Change)
	if m.Change == s.view.Change() { // nothing is behind it: all is told of
		a.now = s.view.Clock()
	}
	a.baseAt = a.now
	if !s.portray() {
		return false
	}
	c := &a.portrait.client
	s.last.link, s.last.live, s.last.ends = c.Link, m.Change, min(s.endsTo(), s.view.Change())
	s.last.duid = append(s.last.duid[:0], c.DUID...)
	return true
}

// portray looks at the client of s.mark.
func (s *Subscription) portray() bool {
	a, c := &s.answer, &s.answer.portrait.client
	if !s.view.At(s.mark, c) || a.selection.By == binding.ByClientID && string(c.DUID) != string(a.selection.Value) {
		return false
	}
	s.looked += len(c.Entries) / entriesALook
	a.restrictor.forget()
	changed, permitted, newest := (*binding.Entry)(nil), false, uint64(0)
	for i := range c.Entries {
		e := &c.Entries[i]
		newest = max(newest, e.Change)
		if e.Change == s.mark.Change {
			changed, permitted = e, a.restrictor.permits(s.view, c.Link, e)
		}
	}
	if changed == nil {
		return false
	}
	live := changed.State == binding.Active
	if newest > s.mark.Change && (live || !permitted) { // what is in force is told at the client's newest change
		return false
	}
	a.keepPermitted()
	if !permitted && !s.untold(c, s.level) || permitted && !live && s.toldEarly(c) {
		return false
	}
	s.placeOnLinks(c.Link)
	// An end behind those that are told may be why the client did match up to there.
	return a.portray(s.mark.Change, changes{s.mark.Change, allChanges.to}, s.endsTo())
}

// untold tells whether the client has something in force that was changed behind the number, up to s.mark. A change that the
// requestor may not see tells of that, where it is the client's newest, and of nothing else.
func (s *Subscription) untold(c *binding.Client, behind uint64) bool {
	for i := range c.Entries {
		if e := &c.Entries[i]; e.State == binding.Active && e.Change > behind && e.Change <= s.mark.Change {
			return true
		}
	}
	return false
}

// endsTo is the change up to which a message tells of ends: the last of its base time's second. Told in a message of an earlier second
// they would have to be told again with their own, since a requestor that asks by bulk meanwhile takes an answer of a second in between
// for the newer word; and one client's many ends would be as many messages, each with all that came behind.
func (s *Subscription) endsTo() uint64 {
	return binding.ChangesFrom(binding.Time(s.answer.now.Seconds()+1) * 1000)
}

// toldEarly tells whether all that is to be said at the end s.mark was said in the message before.
func (s *Subscription) toldEarly(c *binding.Client) bool {
	return !s.answer.pending && s.mark.Change <= s.last.ends && c.Link == s.last.link && string(c.DUID) == string(s.last.duid) &&
		!s.untold(c, s.last.live)
}

// again looks anew at a client that was not told whole before its view was given back, and goes on behind what was told of it. It is
// false when there is no more to tell: a client that has changed is told whole at its newest change.
func (s *Subscription) again() bool {
	a := &s.answer
	p := &a.portrait
	told := p.told
	a.baseAt = a.now
	if !s.portray() {
		return false
	}
	for p.next < len(p.shown) && !told.before(&p.client.Entries[p.shown[p.next]]) {
		p.next++
	}
	p.told = told
	return p.next < len(p.shown)
}
