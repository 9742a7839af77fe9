package fsm

import (
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/store"
)

// Result is what an entry came to: the same on every node.
type Result struct {
	Index        uint64
	Clock        binding.Time // the closed time after the entry
	Counts       store.Counts
	Duplicate    bool   // its batch was applied before: done, and nothing done now
	Expected     uint64 // not 0: its batch is not the next of its session; this one is
	UnknownEpoch bool   // its batch is not the first of an epoch that is not remembered: begin a new epoch, with a resync
	Superseded   bool   // the end of a resync after which another began: it swept nothing
	More         bool   // a tick has left something that is due
	Err          error  // why it was refused, wrapping ErrTooManySources or ErrSettled
}

// Apply applies one entry of the log. It returns a Result.
func (f *FSM) Apply(log *raft.Log) any { return f.ApplyBatch([]*raft.Log{log})[0] }

// ApplyBatch applies entries of the log in order. It returns one Result for each: those that are not commands, such as changes
// of the cluster's members, only count as applied.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	for i, l := range logs {
		out[i] = f.applyLog(l)
	}
	if len(logs) > 0 {
		f.feed.Publish(f.store.Load().TakeMarks())
		f.publish(logs[len(logs)-1].Index)
	}
	return out
}

// publish tells everybody that all entries up to the index are applied.
func (f *FSM) publish(index uint64) {
	f.waiters.advance(index)
	if f.config.Applied != nil {
		f.config.Applied(index, f.Clock())
	}
}

func (f *FSM) applyLog(l *raft.Log) Result {
	if l.Index <= f.applied { // the state has it: see Restore
		return Result{Index: l.Index, Clock: f.Clock()}
	}
	f.term, f.applied = l.Term, l.Index
	if l.Type != raft.LogCommand {
		f.store.Load().Advance(l.Index, f.Clock())
		return Result{Index: l.Index, Clock: f.Clock()}
	}
	e, err := open(l.Data)
	if err != nil {
		f.halt(l, e.kind, err)
	}
	r := Result{Index: l.Index, Clock: max(f.Clock(), e.clock)}
	if err := f.applyEntry(e, &r); err != nil {
		f.halt(l, e.kind, err)
	}
	f.clock.Store(int64(r.Clock))
	f.follow(l, e.kind)
	return r
}

// halt stops the node at an entry that it cannot apply.
func (f *FSM) halt(l *raft.Log, t Type, err error) {
	err = &EntryError{Index: l.Index, Type: t, Err: err}
	if f.config.Halt != nil {
		f.config.Halt(err)
	}
	panic(err)
}

// applyEntry does what an opened entry says. An error says why it cannot be read; the state is as before then.
func (f *FSM) applyEntry(e opened, r *Result) error {
	switch e.kind {
	case TypeChanges:
		return f.applyChanges(e, r)
	case TypeResyncBegin, TypeResyncEnd:
		return f.applyResync(e, r)
	case TypeTick:
		return f.applyTick(e, r)
	case TypeSettings:
		return f.applySettings(e, r)
	case TypeLevel:
		return f.applyLevel(e, r)
	case TypeCheckpoint:
		return f.applyCheckpoint(e, r)
	}
	if !e.ignorable {
		return fmt.Errorf("%w: a type of entry that this node does not know: %s", ErrVersion, runNewer)
	}
	f.store.Load().Advance(r.Index, r.Clock)
	return nil
}

func (f *FSM) applyChanges(e opened, r *Result) error {
	c := newCursor(e.payload)
	session := c.session()
	changes, err := c.changes(f.changes, r.Clock)
	f.changes = changes
	if err != nil {
		return err
	}
	s := f.store.Load()
	if src := f.admit(session, r); src != nil {
		r.Counts = s.Apply(store.Batch{Index: r.Index, Clock: r.Clock, Source: src.name, Changes: changes})
	} else {
		s.Advance(r.Index, r.Clock)
	}
	return nil
}

// admit is the source of a batch that is to be applied. For another batch it is nil, and r says why.
func (f *FSM) admit(session wireSession, r *Result) *source {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.sources.admit(session)
	r.Duplicate, r.Expected, r.UnknownEpoch, r.Err = v.duplicate, v.expected, v.unknown, v.err
	if v.source != nil {
		v.source.last = r.Clock
	}
	return v.source
}

func (f *FSM) applyResync(e opened, r *Result) error {
	c := newCursor(e.payload)
	session := c.session()
	links := byte(0)
	if e.kind == TypeResyncBegin {
		if links = c.octet("links"); links > 1 {
			c.fail("links")
		}
	}
	if err := c.err(); err != nil {
		return err
	}
	s := f.store.Load()
	src := f.admit(session, r)
	switch {
	case src == nil:
		s.Advance(r.Index, r.Clock)
	case e.kind == TypeResyncBegin:
		src.resync = session.epoch
		s.BeginResync(r.Index, r.Clock, src.name, links == 1)
	case src.resync != session.epoch:
		r.Superseded = true
		s.Advance(r.Index, r.Clock)
	default:
		src.resync = 0
		s.EndResync(r.Index, r.Clock, src.name)
		f.maintained.Store(0)
	}
	return nil
}

func (f *FSM) applyTick(e opened, r *Result) error {
	c := newCursor(e.payload)
	limit := c.uvarint("limit")
	if limit > maxTick {
		c.fail("limit")
	}
	if err := c.err(); err != nil {
		return err
	}
	s := f.store.Load()
	if limit == 0 {
		s.Advance(r.Index, r.Clock)
		return nil
	}
	r.Counts, r.More = s.Maintain(r.Index, r.Clock, int(limit))
	if r.More {
		f.maintained.Store(0)
	} else {
		f.maintained.Store(int64(r.Clock))
	}
	return nil
}

func (f *FSM) applySettings(e opened, r *Result) error {
	next, err := parseSettings(e.payload)
	if err != nil {
		return err
	}
	f.mu.Lock()
	settings, err := f.settings.change(next)
	f.settings = settings
	f.mu.Unlock()
	s := f.store.Load()
	if err != nil {
		r.Err = fmt.Errorf("change settings: %w", err)
	} else {
		s.SetHistory(settings.CatchUp)
	}
	s.Advance(r.Index, r.Clock)
	return nil
}
