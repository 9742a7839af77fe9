package feed

import (
	"strconv"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// A node that refuses a change ends the stream with INVALID_ARGUMENT. If it says which change that was, the change is taken out
// of its batch. If not, the batches that were in flight are suspects and go one at a time; the one that is refused alone is
// halved, until it is one change, which is taken out. Batches behind it were not applied, so that taking a batch out or putting
// one in only shifts their numbers. Each refusal narrows the search, so it ends.

// culprit is which change a node refused, as far as it said so.
type culprit struct {
	sequence uint64
	change   int // index in the batch, from 0
	known    bool
}

// culpritOf reads the ErrorInfo that ingest puts beside INVALID_ARGUMENT.
func culpritOf(err error) culprit {
	for _, detail := range status.Convert(err).Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok {
			continue
		}
		sequence, errSequence := strconv.ParseUint(info.GetMetadata()["sequence"], 10, 64)
		change, errChange := strconv.Atoi(info.GetMetadata()["change"])
		if errSequence == nil && errChange == nil && change >= 0 {
			return culprit{sequence: sequence, change: change, known: true}
		}
	}
	return culprit{}
}

// isolate takes the refused change out and gives it, or narrows the search for it: nil. Something is in flight. The error is
// ErrRefused when what is refused is not a change.
func (w *window) isolate(c culprit) (refused *ingestv1.Change, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.known && c.sequence >= w.base && c.sequence < w.base+uint64(w.next) {
		at := int(c.sequence - w.base)
		if c.change < w.pending[at].tally.changes() {
			return w.remove(at, c.change), nil
		}
	}
	if w.next > 1 {
		w.suspects = w.next
		return nil, nil
	}
	b := w.pending[0]
	switch n := b.tally.changes(); n {
	case 0:
		return nil, ErrRefused
	case 1:
		return w.remove(0, 0), nil
	default:
		w.replace(0, b.pick(func(i int) bool { return i < n/2 }), b.pick(func(i int) bool { return i >= n/2 }))
		w.suspects = max(w.suspects+1, 2)
		return nil, nil
	}
}

// remove takes one change out of a batch.
func (w *window) remove(at, change int) (removed *ingestv1.Change) {
	i := 0
	for record := range w.pending[at].records {
		if i == change {
			removed = decodeRecord(record)
		}
		i++
	}
	if rest := w.pending[at].pick(func(i int) bool { return i != change }); rest.tally.changes() > 0 {
		w.replace(at, rest)
	} else {
		w.replace(at)
		w.suspects = max(0, w.suspects-1)
	}
	return removed
}

// replace puts others in the place of a batch. No session is running, or the running one has ended.
func (w *window) replace(at int, others ...*batch) {
	old := w.pending[at]
	w.octets -= old.memory()
	for _, b := range others {
		w.octets += b.memory()
	}
	switch {
	case len(others) > 0:
		others[len(others)-1].receipts = old.receipts
	case at > 0:
		w.pending[at-1].receipts = append(w.pending[at-1].receipts, old.receipts...)
	default: // all before it is acknowledged, and itself will never be
		old.acknowledged()
	}
	w.pending = append(w.pending[:at:at], append(others, w.pending[at+1:]...)...)
	w.next, w.flight = 0, 0
	old.body.Free()
	signal(w.room)
	signal(w.ready)
}
