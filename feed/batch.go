package feed

import (
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// Field numbers of proto/ingest/v1, for what is encoded by hand: a batch is encoded once, when its changes are stated, and only
// its number and the age of its ages are put before it each time it is sent.
const (
	fieldRequestBatch  = 2 // FeedRequest.batch
	fieldBatchSequence = 1 // Batch.sequence
	fieldBatchHeld     = 2 // Batch.held_ms
	fieldBatchChanges  = 3 // Batch.changes
	fieldBatchBegin    = 4 // Batch.resync_begin
	fieldBatchEnd      = 5 // Batch.resync_end
	fieldChanges       = 1 // Changes.changes
	fieldBeginLinks    = 1 // ResyncBegin.links
)

// What is counted for each batch beside its body, in octets: on the wire, headers and framing; in memory, bookkeeping too.
const (
	wireOverhead   = 64
	memoryOverhead = 256
)

// content is what a batch holds.
type content uint8

const (
	changes content = iota
	resyncBegin
	resyncEnd
)

// batch is one numbered piece of a session. Its number is its place in the window.
type batch struct {
	content content
	body    mem.Buffer // of changes: the encoded message Changes; of a resync's begin: the encoded ResyncBegin
	tally   tally
	taken   time.Time // when its ages were taken

	receipts []chan struct{} // to be closed when this batch and all before it are acknowledged
}

// tally counts the changes of a batch, and whether it is the end of a resync.
type tally struct{ leases, ends, links, resyncs int }

func (t tally) changes() int { return t.leases + t.ends + t.links }

func (t *tally) count(c *ingestv1.Change) {
	switch c.GetChange().(type) {
	case *ingestv1.Change_Upsert:
		t.leases++
	case *ingestv1.Change_End:
		t.ends++
	default:
		t.links++
	}
}

// wire is what b counts while it is in flight, memory while it is not acknowledged.
func (b *batch) wire() int   { return b.body.Len() + wireOverhead }
func (b *batch) memory() int { return b.body.Len() + memoryOverhead }

// acknowledged tells those who wait for b.
func (b *batch) acknowledged() {
	for _, c := range b.receipts {
		close(c)
	}
	b.receipts = nil
}

// appendHeader appends the encoding of the FeedRequest that carries b, all but its body:
//
//	batch (2)  length  { sequence (1)  varint,  held_ms (2)  varint,  content (3, 4 or 5)  length  [body follows] }
func (b *batch) appendHeader(dst []byte, sequence uint64, now time.Time) []byte {
	held := uint64(max(0, min(now.Sub(b.taken).Milliseconds(), 1<<32-1)))
	field := [...]protowire.Number{changes: fieldBatchChanges, resyncBegin: fieldBatchBegin, resyncEnd: fieldBatchEnd}[b.content]
	inner := protowire.SizeTag(fieldBatchSequence) + protowire.SizeVarint(sequence) +
		protowire.SizeTag(fieldBatchHeld) + protowire.SizeVarint(held) +
		protowire.SizeTag(field) + protowire.SizeBytes(b.body.Len())
	dst = protowire.AppendTag(dst, fieldRequestBatch, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(inner))
	dst = protowire.AppendTag(dst, fieldBatchSequence, protowire.VarintType)
	dst = protowire.AppendVarint(dst, sequence)
	dst = protowire.AppendTag(dst, fieldBatchHeld, protowire.VarintType)
	dst = protowire.AppendVarint(dst, held)
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	return protowire.AppendVarint(dst, uint64(b.body.Len()))
}

// records iterates over the encoded changes of b, each with the tag before it.
func (b *batch) records(yield func(record []byte) bool) {
	for rest := b.body.ReadOnlyData(); len(rest) > 0; {
		_, _, n := protowire.ConsumeField(rest)
		if n < 0 || !yield(rest[:n]) {
			return
		}
		rest = rest[n:]
	}
}

// pick makes a batch of the changes of b, from 0, for which keep is true. Its ages are those of b.
func (b *batch) pick(keep func(i int) bool) *batch {
	var body []byte
	out := &batch{content: changes, taken: b.taken}
	i := 0
	for record := range b.records {
		if keep(i) {
			body = append(body, record...)
			out.tally.count(decodeRecord(record))
		}
		i++
	}
	out.body = mem.SliceBuffer(body)
	return out
}

// decodeRecord reads what Sink.Change has encoded.
func decodeRecord(record []byte) *ingestv1.Change {
	c := new(ingestv1.Change)
	_, _, tag := protowire.ConsumeTag(record)
	if value, n := protowire.ConsumeBytes(record[tag:]); n >= 0 {
		if err := proto.Unmarshal(value, c); err != nil {
			return new(ingestv1.Change)
		}
	}
	return c
}

// describe names a change for people: its kind and key.
func describe(c *ingestv1.Change) string {
	switch c := c.GetChange().(type) {
	case *ingestv1.Change_Upsert:
		return "lease of " + describeKey(c.Upsert.GetKind(), c.Upsert.GetAddress(), c.Upsert.GetPrefixLength())
	case *ingestv1.Change_End:
		return "end of " + describeKey(c.End.GetKind(), c.End.GetAddress(), c.End.GetPrefixLength())
	case *ingestv1.Change_DefineLink:
		return fmt.Sprintf("link %q", c.DefineLink.GetLabel())
	case *ingestv1.Change_RemoveLink:
		return fmt.Sprintf("removal of link %q", c.RemoveLink)
	}
	return "empty change"
}

func describeKey(kind ingestv1.Kind, address []byte, bits uint32) string {
	a, ok := netip.AddrFromSlice(address)
	switch {
	case !ok:
		return fmt.Sprintf("an address of %d octets", len(address))
	case kind == ingestv1.Kind_KIND_PD:
		return fmt.Sprintf("%v/%d", a, bits)
	}
	return a.String()
}
