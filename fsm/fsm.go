package fsm

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/store"
	"github.com/leasehold/leasehold/fsm/watch"
)

// Config is what a state machine is given. Nothing in it decides what an entry does.
type Config struct {
	Logger *slog.Logger // nil: silent
	// Applied is called on Raft's goroutine after every batch of entries and after a restore, with the newest applied index and
	// the closed time; it may be nil.
	Applied func(index uint64, clock binding.Time)
	// Halt is called for an entry that cannot be applied, with an *EntryError. It must stop the process and not return; if it
	// does return, or is nil, the state machine panics.
	Halt func(error)
	// Diverged is called, on Raft's goroutine, for a checkpoint that this state machine does not agree with, with a
	// *DivergedError, each time. When it returns nothing may be served from the state machine any more; without it the state
	// machine panics.
	Diverged func(error)
	// FeedSize is how many of the newest changes Feed keeps; 0 is watch.DefaultSize. It decides only from where readers on this
	// node read what came before.
	FeedSize int
}

// FSM is the state machine. Raft calls Apply, ApplyBatch, Snapshot and Restore from one goroutine; all other methods may be
// called from any.
type FSM struct {
	config Config
	store  atomic.Pointer[store.Store] // another one after Restore
	feed   *watch.Feed

	// Of Raft's goroutine alone.
	term    uint64
	applied uint64           // index of the newest entry in the state
	changes []binding.Change // reused by every entry
	chain   uint64           // the rolling hash of the commands applied; 0 at a level without

	mu       sync.Mutex // held to write what follows, and to read it elsewhere than on Raft's goroutine
	settings Settings
	sources  sources
	mark     Checkpoint // the newest
	covered  uint64     // the weight of what was applied between it and the one before

	level      atomic.Uint32
	news       atomic.Uint64 // the weight of what was applied since the newest checkpoint
	clock      atomic.Int64
	maintained atomic.Int64 // the clock of the newest tick that did all that was due; 0 while something is left
	waiters    waiters
}

var _ raft.BatchingFSM = (*FSM)(nil)

// New is the state machine of an empty log.
func New(config Config) *FSM {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	f := &FSM{config: config, sources: sources{}, feed: watch.New(config.FeedSize)}
	f.level.Store(FirstLevel)
	s := store.New()
	s.SetHistory(DefaultCatchUp)
	s.CollectMarks(f.feed.Size())
	f.store.Store(s)
	return f
}

// Applied is the index of the newest applied entry.
func (f *FSM) Applied() uint64 {
	f.waiters.mu.Lock()
	defer f.waiters.mu.Unlock()
	return f.waiters.applied
}

// Wait returns nil once the entry with the index, or a later one, has been applied: a View taken then shows it. If ctx ends
// first the error wraps its cause.
func (f *FSM) Wait(ctx context.Context, index uint64) error { return f.waiters.wait(ctx, index) }

// View is the state after the newest applied entry. Release must be called on it.
func (f *FSM) View() *store.View { return f.store.Load().View() }

// Feed tells of the changes that are applied here. Entries that Raft hands over together are told of together, when all are
// applied, so a view may show changes before the feed has them, never after.
func (f *FSM) Feed() *watch.Feed { return f.feed }

// Clock is the closed time: the state machine's clock after the newest applied entry (RFC 7653 BASE_TIME); 0 before the first.
func (f *FSM) Clock() binding.Time { return binding.Time(f.clock.Load()) }

// Settings are the cluster's settings; zero before it was founded.
func (f *FSM) Settings() Settings {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.settings.clone()
}

// Session is the newest applied batch of a source's epoch; known is false for an epoch that the state machine does not
// remember.
func (f *FSM) Session(name string, epoch uint64) (applied uint64, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sources.applied(name, epoch)
}

// MaintenanceDue tells whether a tick is due: a second of cluster time has passed since everything due was done, or something
// was left to do.
func (f *FSM) MaintenanceDue() bool {
	done := f.maintained.Load()
	return done == 0 || f.clock.Load() >= done+maintainEvery
}

// maintainEvery is after how many milliseconds of cluster time it is worth looking whether something is due.
const maintainEvery = 1000

// Conflicts is the bindings about which sources disagree, as far as this state machine has seen it: it is no part of the replicated
// state, and begins anew with Restore.
func (f *FSM) Conflicts() store.Conflicts { return f.store.Load().Conflicts() }

// ConflictTotals counts the disagreements of each kind that were noted since the node began.
func (f *FSM) ConflictTotals() map[binding.ConflictKind]uint64 {
	return f.store.Load().ConflictTotals()
}

// SourceState is what the state machine knows of a source.
type SourceState struct {
	Name       string
	Bindings   uint64       // bindings in force that it owns
	Resyncing  bool         // between the begin and the end of a full resync
	Sweeping   bool         // what the resync no longer had is being removed
	LastBatch  binding.Time // the clock of its newest batch
	LastResync binding.Time // the clock at which its newest complete resync ended; 0 for never
	Epochs     []EpochState // oldest first, by their newest batch
}

// EpochState is how far one run of a source's feeder has got.
type EpochState struct {
	Epoch   uint64
	Applied uint64 // sequence of its newest applied batch
}

// Sources is every source that has reported, by name.
func (f *FSM) Sources() []SourceState {
	v := f.View()
	defer v.Release()
	known := map[string]store.Source{}
	for _, s := range v.Sources() {
		known[s.Name] = s
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []SourceState
	for name, src := range f.sources {
		k := known[name]
		s := SourceState{Name: name, Bindings: k.Bindings, Resyncing: k.Resyncing, Sweeping: k.Sweeping, LastBatch: src.last, LastResync: k.LastResync}
		for _, e := range src.epochs {
			s.Epochs = append(s.Epochs, EpochState{e.epoch, e.applied})
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b SourceState) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
