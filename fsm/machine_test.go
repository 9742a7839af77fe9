package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

// start is the cluster time at which the logs of these tests begin.
const start = binding.Time(1_790_000_000_000)

var testSettings = Settings{ClusterID: "0193b3a4-7c1d-7e55-9a3c-2f4d1b6a8e90", ServerDUID: []byte{0, 4, 1, 2, 3, 4}, CatchUp: 60 * time.Second}

// testingT is what a *testing.T and a *rapid.T have in common.
type testingT interface {
	Helper()
	Fatalf(format string, args ...any)
}

// newFSM is a state machine that fails the test when it halts.
func newFSM(t testingT) *FSM {
	return New(Config{Halt: func(err error) { t.Fatalf("halted: %v", err) }})
}

// halted applies an entry, and is the error with which the state machine halts.
func halted(t testingT, l *raft.Log) (err error) {
	t.Helper()
	type stopped struct{}
	defer func() {
		if _, ok := recover().(stopped); !ok || err == nil {
			t.Fatalf("log entry %d was applied", l.Index)
		}
	}()
	New(Config{Halt: func(e error) { err = e; panic(stopped{}) }}).Apply(l)
	return err
}

// builder makes a log.
type builder struct {
	t     testingT
	clock binding.Time
	logs  []*raft.Log
}

func newLog(t testingT) *builder { return &builder{t: t, clock: start} }

// add seals an entry at the builder's clock and puts it at the end of the log.
func (b *builder) add(entry []byte, err error) *raft.Log {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("make entry: %v", err)
	}
	Seal(entry, b.clock)
	return b.put(raft.LogCommand, entry)
}

func (b *builder) put(kind raft.LogType, data []byte) *raft.Log {
	l := &raft.Log{Index: uint64(len(b.logs) + 1), Term: 3, Type: kind, Data: data}
	b.logs = append(b.logs, l)
	return l
}

func (b *builder) tick(limit uint32) *raft.Log { return b.add(AppendTick(nil, limit), nil) }
func (b *builder) settings(s Settings) *raft.Log {
	return b.add(AppendSettings(nil, s))
}
func (b *builder) changes(s Session, changes ...Change) *raft.Log {
	return b.add(AppendChanges(nil, s, changes))
}
func (b *builder) begin(s Session, links bool) *raft.Log {
	return b.add(AppendResyncBegin(nil, s, links))
}
func (b *builder) end(s Session) *raft.Log { return b.add(AppendResyncEnd(nil, s)) }

// apply applies one entry and is its result.
func apply(t testingT, f *FSM, l *raft.Log) Result {
	t.Helper()
	r, ok := f.Apply(l).(Result)
	if !ok || r.Index != l.Index {
		t.Fatalf("log entry %d gave %+v", l.Index, r)
	}
	return r
}

// upsert is news of an address that client n has, on a relayed link.
func upsert(n int) Change {
	chain := binding.AppendChain(nil, netip.Addr{}, []binding.Level{{
		HopCount: 1, Link: netip.MustParseAddr("2001:db8:a::1"), Peer: netip.MustParseAddr("fe80::1"),
		Options: []byte{0, 18, 0, 2, 'e', byte('0' + n%10), 0, 53, 0, 4, 0, 3, 0, 1},
	}})
	return Change{AgeMS: 1000, Change: binding.Change{Event: binding.Upsert, Binding: binding.Binding{
		Kind: binding.NA, Prefix: address(n), DUID: []byte{0, 1, byte(n >> 8), byte(n)}, IAID: uint32(n), Preferred: 1800, Valid: 3600,
		Stamp: 17, LinkName: []byte("7"), Chain: chain, Options: []byte{0, 39, 0, 1, 0},
	}}}
}

// release is news that client n has given its address back.
func release(n int) Change {
	c := upsert(n)
	return Change{AgeMS: 500, Change: binding.Change{Event: binding.End, Reason: binding.Released,
		Binding: binding.Binding{Kind: binding.NA, Prefix: c.Binding.Prefix, DUID: c.Binding.DUID, IAID: c.Binding.IAID}}}
}

func defineLink(label string, prefix string, names ...string) Change {
	return Change{Change: binding.Change{Event: binding.DefineLink, Link: &binding.Link{
		Label: label, Names: names, Prefixes: []netip.Prefix{netip.MustParsePrefix(prefix)}, Relays: []netip.Addr{netip.MustParseAddr("2001:db8:a::1")}}}}
}

func address(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0x0a, 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}), 128)
}

// live is the addresses of the bindings in force.
func live(f *FSM) map[netip.Addr]bool {
	v := f.View()
	defer v.Release()
	out := map[netip.Addr]bool{}
	var c binding.Client
	for cursor := v.Select(binding.Query{By: binding.ByEverything}); cursor.Next(&c); {
		for _, e := range c.Entries {
			if e.State == binding.Active {
				out[e.Prefix.Addr()] = true
			}
		}
	}
	return out
}

// sink takes a snapshot in memory.
type sink struct {
	bytes.Buffer
	room              int // octets before Write fails; 0 for no bound
	closed, cancelled bool
}

var errFull = errors.New("disk full")

// Write fails when there is no room.
func (s *sink) Write(p []byte) (int, error) {
	if s.room > 0 && s.Len()+len(p) > s.room {
		return 0, errFull
	}
	return s.Buffer.Write(p)
}

// Close ends the snapshot.
func (s *sink) Close() error { s.closed = true; return nil }

// ID names the snapshot.
func (s *sink) ID() string { return "test" }

// Cancel gives the snapshot up.
func (s *sink) Cancel() error { s.cancelled = true; return nil }

// snapshotOf is the octets of a snapshot of f.
func snapshotOf(t testingT, f *FSM) []byte {
	t.Helper()
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatalf("take snapshot: %v", err)
	}
	defer snap.Release()
	var s sink
	if err := snap.Persist(&s); err != nil || !s.closed || s.cancelled {
		t.Fatalf("persist: %v, closed %v, cancelled %v", err, s.closed, s.cancelled)
	}
	return s.Bytes()
}

func restore(t testingT, snapshot []byte) *FSM {
	t.Helper()
	f := newFSM(t)
	if err := f.Restore(io.NopCloser(bytes.NewReader(snapshot))); err != nil {
		t.Fatalf("restore: %v", err)
	}
	return f
}

// drawLog is a random log over a small world: two sources with two epochs each, batches that come again, out of order or with
// gaps, resyncs, ticks, settings, changes of members, and a leader's clock that also steps back.
func drawLog(t *rapid.T) []*raft.Log {
	b := newLog(t)
	next := map[string]uint64{}
	for range rapid.IntRange(1, 40).Draw(t, "entries") {
		b.clock += binding.Time(rapid.SampledFrom([]int{0, 1, 500, 20_000, 1_000_000, -3000}).Draw(t, "time passes"))
		s := Session{Source: rapid.SampledFrom([]string{"kea-a", "kea-b"}).Draw(t, "source"), Epoch: rapid.Uint64Range(1, 2).Draw(t, "epoch")}
		key := fmt.Sprint(s.Source, s.Epoch)
		step := rapid.SampledFrom([]uint64{1, 1, 1, 1, 1, 1, 0, 2}).Draw(t, "step")
		s.Sequence = max(next[key]+step, 1)
		kind := rapid.IntRange(0, 9).Draw(t, "entry")
		if kind <= 7 && s.Sequence == next[key]+1 {
			next[key]++
		}
		switch kind {
		default:
			b.changes(s, drawChanges(t)...)
		case 6:
			b.begin(s, rapid.Bool().Draw(t, "links"))
		case 7:
			b.end(s)
		case 8:
			b.tick(rapid.SampledFrom([]uint32{0, 1, 3, 1000}).Draw(t, "limit"))
		case 9:
			if rapid.Bool().Draw(t, "members") {
				b.put(raft.LogConfiguration, []byte("members"))
				break
			}
			other := testSettings
			other.CatchUp = time.Duration(rapid.IntRange(1, 90).Draw(t, "catch-up")) * time.Second
			b.settings(other)
		}
	}
	return b.logs
}

func drawChanges(t *rapid.T) []Change {
	var out []Change
	for range rapid.IntRange(1, 6).Draw(t, "changes") {
		n := rapid.IntRange(0, 7).Draw(t, "client")
		c := upsert(n)
		c.AgeMS = int64(rapid.SampledFrom([]int{0, 1000, 5_000_000, -2000}).Draw(t, "age"))
		c.Binding.Stamp = uint32(rapid.IntRange(0, 2).Draw(t, "stamp"))
		switch rapid.IntRange(0, 9).Draw(t, "change") {
		case 0, 1:
			c = release(n)
		case 2:
			c = defineLink(rapid.SampledFrom([]string{"x", "y"}).Draw(t, "label"),
				rapid.SampledFrom([]string{"2001:db8:a::/48", "2001:db8:a::/64", "2001:db8:b::/48"}).Draw(t, "prefix"), "7")
		case 3:
			c = Change{Change: binding.Change{Event: binding.RemoveLink, Link: &binding.Link{Label: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "label")}}}
		case 4:
			c.Binding.Chain, c.Binding.LinkName = nil, nil
		case 5:
			c.Binding.Kind = binding.PD
			c.Binding.Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0xff, byte(n)}), 56)
			c.Binding.Chain, c.Binding.LinkName = nil, nil
		case 6:
			c.Binding.DUID = []byte{0, 2, byte(rapid.IntRange(0, 2).Draw(t, "another client"))}
		case 7:
			c.Binding.Valid, c.Binding.Preferred = 10, 10
		}
		out = append(out, c)
	}
	return out
}

func snapshotReader(t testingT, f *FSM) io.Reader { return bytes.NewReader(snapshotOf(t, f)) }

// closer is a reader with a Close that does nothing.
type closer struct{ io.Reader }

// Close does nothing.
func (closer) Close() error { return nil }
