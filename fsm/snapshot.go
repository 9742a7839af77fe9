package fsm

import (
	"bytes"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/leasehold/leasehold/fsm/store"
)

// snapshot is the state after one entry, to be written out while the state machine goes on.
type snapshot struct {
	header   header
	settings []byte
	sources  []byte
	chain    []byte // empty at a level without
	view     *store.View
}

// Snapshot takes the state as it is: a view of the store, and copies of the settings and sessions, which are small.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	s := &snapshot{view: f.store.Load().Snapshot(), sources: f.sources.append(nil)}
	s.header = header{level: f.Level(), index: s.view.Index(), term: f.term, clock: f.Clock()}
	if s.header.level >= hashedLevel {
		s.chain = appendChain(nil, f.chain, f.mark)
	}
	if f.settings.ClusterID != "" {
		s.settings = f.settings.append(nil)
		s.header.cluster = [16]byte(s.settings)
	}
	return s, nil
}

// Persist streams the snapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.write(sink); err != nil {
		// The sink's own failure to go away tells nothing that the first error does not.
		_ = sink.Cancel()
		return fmt.Errorf("write snapshot of log entry %d: %w", s.header.index, err)
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("finish snapshot of log entry %d: %w", s.header.index, err)
	}
	return nil
}

func (s *snapshot) write(w io.Writer) error {
	b, err := newBlockWriter(w, s.header)
	if err != nil {
		return err
	}
	for _, section := range []struct {
		kind byte
		data io.WriterTo
	}{
		{sectionSettings, bytes.NewReader(s.settings)},
		{sectionSources, bytes.NewReader(s.sources)},
		{sectionStore, s.view},
	} {
		if err := b.section(section.kind); err != nil {
			return err
		}
		if _, err := section.data.WriteTo(b); err != nil {
			return err
		}
	}
	if len(s.chain) > 0 {
		if err := b.section(sectionChain); err != nil {
			return err
		}
		if _, err := b.Write(s.chain); err != nil {
			return err
		}
	}
	return b.close()
}

// Release gives the view of the store back.
func (s *snapshot) Release() { s.view.Release() }

// Restore puts the state of a snapshot in place of what there is. The snapshot is read whole and verified first: after an error
// the state is as it was. Views taken before stay valid.
//
// A snapshot older than the state changes nothing. Raft does install such a one: a leader that takes a follower for further
// behind than it is sends its newest snapshot, and then every entry behind it again. Both are of one log, of what is committed,
// so the state already has them all; were it to go back, readers that were told of a later index would be shown the past.
func (f *FSM) Restore(from io.ReadCloser) error {
	defer from.Close()
	r, err := readSnapshot(from)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if r.header.index < f.applied {
		f.config.Logger.Info("older snapshot left out", "snapshot", r.header.index, "applied", f.applied)
		return nil
	}
	f.term, f.applied, f.chain = r.header.term, r.header.index, r.chain
	f.level.Store(r.header.level)
	f.news.Store(enoughNews) // it is not known what was applied since the checkpoint
	f.mu.Lock()
	f.settings, f.sources, f.mark, f.covered = r.settings, r.sources, r.mark, 0
	f.mu.Unlock()
	f.clock.Store(int64(r.header.clock))
	f.maintained.Store(0)
	r.store.Continue(f.store.Load())
	f.store.Store(r.store)
	f.heedLevel()
	f.feed.Restart(r.store.Change())
	f.publish(r.header.index)
	return nil
}

// restored is what a snapshot holds.
type restored struct {
	header   header
	settings Settings
	sources  sources
	store    *store.Store
	chain    uint64
	mark     Checkpoint
}

// maxSmallSection is how large a section may be that is read in one piece.
const maxSmallSection = 1 << 20

func readSnapshot(from io.Reader) (restored, error) {
	b, h, err := newBlockReader(from)
	if err != nil {
		return restored{}, err
	}
	r := restored{header: h}
	settings, err := b.small(sectionSettings)
	if err != nil {
		return restored{}, err
	}
	if len(settings) > 0 {
		if r.settings, err = parseSettings(settings); err != nil {
			return restored{}, fmt.Errorf("settings: %w", err)
		}
	}
	if id, _ := parseUUID(r.settings.ClusterID); id != h.cluster {
		return restored{}, fmt.Errorf("%w: header of cluster %s, settings of %s", ErrCorrupt, formatUUID(h.cluster), r.settings.ClusterID)
	}
	sessions, err := b.small(sectionSources)
	if err != nil {
		return restored{}, err
	}
	if r.sources, err = parseSources(sessions); err != nil {
		return restored{}, fmt.Errorf("sources: %w", err)
	}
	if err := b.section(sectionStore); err != nil {
		return restored{}, err
	}
	if r.store, err = store.Restore(b); err != nil {
		return restored{}, fmt.Errorf("bindings: %w", err)
	}
	if h.level >= hashedLevel {
		chain, err := b.small(sectionChain)
		if err != nil {
			return restored{}, err
		}
		if r.chain, r.mark, err = parseChain(chain); err != nil {
			return restored{}, fmt.Errorf("rolling hash: %w", err)
		}
	}
	return r, b.close()
}

// small reads a section in one piece.
func (b *blockReader) small(kind byte) ([]byte, error) {
	if err := b.section(kind); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(b, maxSmallSection))
}
