package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Limits on what is remembered of sources.
const (
	MaxSources = 1024 // sources of a cluster
	MaxEpochs  = 8    // epochs of a source: of one more, that whose newest batch is the oldest in the log is forgotten
)

// ErrTooManySources is why a batch of a new source is refused when the cluster has MaxSources.
var ErrTooManySources = errors.New("too many sources")

// source is what is remembered of a source's sessions.
type source struct {
	name   string
	epochs []epoch      // in the order of their newest batches in the log
	resync uint64       // the epoch of the newest resync, until it ends; 0 for none
	last   binding.Time // the clock of its newest batch
}

// epoch is how far one run of a source's feeder has got.
type epoch struct {
	epoch   uint64
	applied uint64 // sequence of the newest applied batch
}

// sources is what is remembered of all sources. It belongs to the state machine's goroutine.
type sources map[string]*source

// verdict is what the sessions say of a batch.
type verdict struct {
	source    *source // whose batch it is; nil unless it is to be applied
	duplicate bool
	expected  uint64
	unknown   bool
	err       error
}

// admit decides whether a batch is the next of its session, and notes that it is applied if so.
func (s sources) admit(w wireSession) verdict {
	src := s[string(w.source)]
	at := -1
	if src != nil {
		at = slices.IndexFunc(src.epochs, func(e epoch) bool { return e.epoch == w.epoch })
	}
	if at < 0 {
		switch {
		case w.sequence != 1:
			return verdict{unknown: true}
		case src == nil && len(s) >= MaxSources:
			return verdict{err: fmt.Errorf("source %q: %w: %d are known", w.source, ErrTooManySources, len(s))}
		case src == nil:
			src = &source{name: string(w.source)}
			s[src.name] = src
		case len(src.epochs) >= MaxEpochs:
			src.epochs = slices.Delete(src.epochs, 0, 1)
		}
		src.epochs = append(src.epochs, epoch{w.epoch, 1})
		return verdict{source: src}
	}
	e := src.epochs[at]
	switch {
	case w.sequence <= e.applied:
		return verdict{duplicate: true}
	case w.sequence != e.applied+1:
		return verdict{expected: e.applied + 1}
	}
	e.applied = w.sequence
	src.epochs = append(slices.Delete(src.epochs, at, at+1), e)
	return verdict{source: src}
}

// applied is the newest applied batch of an epoch, if the epoch is known.
func (s sources) applied(name string, number uint64) (uint64, bool) {
	if src := s[name]; src != nil {
		for _, e := range src.epochs {
			if e.epoch == number {
				return e.applied, true
			}
		}
	}
	return 0, false
}

// The octets of the sources in a snapshot: how many, a varint, then, by name: the name behind its length, a varint; the epoch of
// the resync under way, 8 octets, 0 for none; the clock of its newest batch, 8 octets; how many epochs, a varint, then in order: the epoch, 8 octets, and its newest
// sequence, a varint.
func (s sources) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	for _, name := range slices.Sorted(maps.Keys(s)) {
		src := s[name]
		dst = binary.BigEndian.AppendUint64(appendText(dst, name), src.resync)
		dst = binary.BigEndian.AppendUint64(dst, uint64(src.last))
		dst = binary.AppendUvarint(dst, uint64(len(src.epochs)))
		for _, e := range src.epochs {
			dst = binary.AppendUvarint(binary.BigEndian.AppendUint64(dst, e.epoch), e.applied)
		}
	}
	return dst
}

func parseSources(b []byte) (sources, error) {
	c := newCursor(b)
	s := sources{}
	before := ""
	for range c.count(MaxSources, "number of sources") {
		src := &source{name: string(c.octets(MaxSource, "source name")), resync: c.uint64("resync"), last: binding.Time(c.uint64("time of the newest batch"))}
		for range c.count(MaxEpochs, "number of epochs") {
			src.epochs = append(src.epochs, epoch{c.uint64("epoch"), c.uvarint("sequence")})
		}
		if src.name <= before {
			c.fail("order of sources")
		}
		s[src.name], before = src, src.name
	}
	return s, c.err()
}
