package store

import (
	"math"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// source is what the store keeps of a source of bindings.
type source struct {
	name       string
	number     uint16
	bindings   uint64
	gen        uint8 // counts its resyncs
	resyncing  bool
	sweeping   bool
	links      bool // whether the resync states the links, too
	lastResync binding.Time
	swept      position
}

// position is where a sweep has got to: every entry up to it was looked at.
type position struct {
	place uint64
	duid  []byte
	order order
}

// Source is one source of bindings, as a view shows it.
type Source struct {
	Name       string
	Number     uint16 // what Entry.Source says
	Bindings   uint64 // bindings in force that it owns
	Resyncing  bool   // between BeginResync and EndResync
	Sweeping   bool   // after EndResync, until all that the resync no longer had is gone
	LastResync binding.Time
}

// source finds a source by name, or numbers a new one; nil when there are no more numbers.
func (s *Store) source(name string) *source {
	if src, ok := s.byName[name]; ok {
		return src
	}
	if len(s.sources) == math.MaxUint16 {
		return nil
	}
	src := &source{name: name, number: uint16(len(s.sources) + 1)}
	s.sources = append(s.sources, src)
	s.byName[name] = src
	return src
}

func (s *Store) sourceAt(number uint16) *source { return s.sources[number-1] }

// Sources is every source that has ever reported, by number.
func (s *Store) Sources() []Source {
	out := make([]Source, len(s.sources))
	for i, src := range s.sources {
		out[i] = Source{src.name, src.number, src.bindings, src.resyncing, src.sweeping, src.lastResync}
	}
	return out
}

// Sweeping names the sources whose sweep has work left, sorted.
func (s *Store) Sweeping() []string {
	var out []string
	for _, src := range s.sources {
		if src.sweeping {
			out = append(out, src.name)
		}
	}
	slices.Sort(out)
	return out
}

// BeginResync begins a full resync of a source: what the source does not state again until EndResync goes. A resync that was
// begun before and not ended, or not swept to its end, counts for nothing. With links, the source states its links as well.
func (s *Store) BeginResync(index uint64, clock binding.Time, name string, links bool) {
	s.begin(index, clock)
	defer s.mu.Unlock()
	src := s.source(name)
	if src == nil {
		return
	}
	if src.gen == math.MaxUint8 {
		s.regenerate(src)
	}
	src.gen++
	src.resyncing, src.sweeping, src.links = true, false, links
	src.swept = position{}
	if links {
		s.links.BeginSweep(name)
	}
}

// EndResync ends a full resync. What was not stated is now removed by Maintain, a bit at a time; links not stated are
// removed at once. Without a resync begun it does nothing.
func (s *Store) EndResync(index uint64, clock binding.Time, name string) {
	s.begin(index, clock)
	defer s.mu.Unlock()
	src := s.byName[name]
	if src == nil || !src.resyncing {
		return
	}
	src.resyncing, src.sweeping = false, true
	src.lastResync = s.clock
	src.swept = position{}
	if src.links {
		src.links = false
		s.rehome(s.links.EndSweep(name))
	}
}

// regenerate makes room for the next generations: all that the source owns becomes of generation 0, itself too.
func (s *Store) regenerate(src *source) {
	var p path
	if s.clients.seek(&p, &key{}) {
		for ok := p.settle(); ok; ok = p.next() {
			s.clients.own(&p)
			for e := range p.record().all {
				if e.source() == src.number {
					e.setGen(0)
				}
			}
		}
	}
	src.gen = 0
}
