package leasequery_test

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
)

func cutSpace(s string) (before, after string, found bool) { return strings.Cut(s, " ") }

// drawEntry draws the next entry of a log.
func drawEntry(t *rapid.T, h *history, clock binding.Time) binding.Time {
	clock += rapid.SampledFrom([]binding.Time{0, 0, 1, 300, 999, 1000, 2500, 30_000}).Draw(t, "later")
	if rapid.IntRange(0, 5).Draw(t, "time entry") == 0 {
		h.add(clock, "")
		return clock
	}
	var changes []binding.Change
	for range rapid.IntRange(1, 4).Draw(t, "changes") {
		changes = append(changes, drawNews(t, clock))
	}
	h.add(clock, rapid.SampledFrom([]string{"kea-a", "kea-a", "kea-a", "kea-b"}).Draw(t, "source"), changes...)
	return clock
}

// drawNews draws one change. The pools are those of the questions to bulk leasequery.
func drawNews(t *rapid.T, clock binding.Time) binding.Change {
	what := rapid.IntRange(0, 39).Draw(t, "event")
	if what < 2 {
		c := define(rapid.SampledFrom([]string{"net1", "net2", "net3"}).Draw(t, "label"), []string{rapid.SampledFrom(poolPrefixes[1:6]).Draw(t, "prefix").String()})
		if rapid.Bool().Draw(t, "lists a relay") {
			c.Link.Relays = []netip.Addr{rapid.SampledFrom(poolRelays).Draw(t, "relay")}
		}
		if what == 1 {
			c.Event = binding.RemoveLink
		}
		return c
	}
	s := &scene{links: []linkOf{{ID: 1}}}
	s.drawBinding(t)
	b := s.bindings[0]
	c := binding.Change{Event: binding.Upsert, Binding: binding.Binding{Kind: b.Kind, Prefix: b.Prefix, DUID: []byte(b.DUID),
		IAID: rapid.Uint32Range(0, 1).Draw(t, "iaid"), Valid: max(b.Valid, 2), Preferred: min(b.Preferred, b.Valid),
		LastTransaction: clock - binding.Time(rapid.SampledFrom([]int{0, 0, 0, 1500, 9000}).Draw(t, "age")), Chain: b.Chain, Options: b.Options}}
	c.Binding.Stamp = uint32(rapid.IntRange(0, 3).Draw(t, "stamp"))
	if rapid.Bool().Draw(t, "named") {
		c.Binding.LinkName = []byte(rapid.SampledFrom([]string{"net1", "net2"}).Draw(t, "link name"))
	}
	if what < 12 {
		c.Event, c.Reason = binding.End, rapid.SampledFrom([]binding.State{binding.Released, binding.Declined, binding.Expired, binding.Deleted}).Draw(t, "reason")
		if rapid.IntRange(0, 3).Draw(t, "anonymous") > 0 {
			c.Binding.DUID = nil
		}
	}
	return c
}

// drawWorld is a log with links, and two nodes that follow it. Their feeds keep so little that the state itself must be read.
func drawWorld(t *rapid.T) (h *history, nodes []*node, clock binding.Time) {
	h = &history{window: rapid.SampledFrom([]time.Duration{5 * time.Second, time.Minute, time.Hour}).Draw(t, "window")}
	h.add(now, "kea-a", define("net1", []string{"2001:db8:1::/48"}, "2001:db8:ffff::1"), define("net2", []string{"2001:db8:2::/48"}))
	for range 2 {
		nodes = append(nodes, h.node(rapid.SampledFrom([]int{1, 3, 8, 1000}).Draw(t, "feed")))
		nodes[len(nodes)-1].recall = rapid.SampledFrom([]int{1, 2, 5, 0}).Draw(t, "recalled at once")
	}
	return h, nodes, now
}

// TestSubscriberEndsWithTheState: whatever happens, and wherever a requestor goes on with the base time that it had, it ends with what
// a look at every binding gives.
func TestSubscriberEndsWithTheState(t *testing.T) {
	counts := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		h, nodes, clock := drawWorld(t)
		w := drawWatched(t)
		nodes[0].follow(1)
		w.note(nodes[0])
		f := &follower{t: t, rule: w, table: map[string]word{}, base: nowBase, counts: counts}
		if w.kind == byAddress && !nodes[0].known(w.address) {
			return
		}
		defer func() { f.sub.Close() }()
		if !f.subscribe(nodes[0]) {
			return
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1, 2, 3:
				clock = drawEntry(t, h, clock)
				f.node.followNoting(w, 1)
			case 4:
				f.out = f.out[:0]
			case 5:
				f.sub.Pause()
			case 6:
				f.step(true)
			case 7:
				if rapid.IntRange(0, 2).Draw(t, "elsewhere") == 0 {
					counts["resumed"]++
					n := rapid.SampledFrom(nodes).Draw(t, "node")
					n.followNoting(w, len(h.entries))
					if !f.subscribe(n) {
						return
					}
					if w.byLinks() && h.redefined() {
						f.table = w.expected(n) // no server can tell who was away that its links are others now
					}
				}
			default:
				f.step(false)
			}
		}
		h.add(clock+1, "")
		f.node.followNoting(w, len(h.entries))
		f.quiet()
		f.compare("in the end")
		for _, n := range nodes {
			n.followNoting(w, len(h.entries))
			if v := n.store.View(); v.Pinned() != 0 {
				t.Fatal("a view is kept")
			}
		}
	})
	for _, what := range []string{"clients", "ends", "exits", "catch-up complete", "data missing", "resumed"} {
		if counts[what] == 0 {
			t.Errorf("no %s: %v", what, counts)
		}
	}
	if os.Getenv("LEASEHOLD_SHOW") != "" {
		t.Log(counts)
	}
}

// redefined tells whether links were defined anew.
func (h *history) redefined() bool {
	return slices.ContainsFunc(h.entries[1:], func(e entry) bool {
		return slices.ContainsFunc(e.changes, func(c binding.Change) bool { return c.Link != nil })
	})
}

// known tells whether a query by the address would be answered.
func (n *node) known(a netip.Addr) bool {
	v := n.store.View()
	defer v.Release()
	_, ok := v.LinkHolding(a)
	return ok
}

// followNoting is follow, entry by entry, for a requestor whose rights are noted.
func (n *node) followNoting(w *watched, most int) {
	for ; most > 0 && n.done < len(n.log.entries); most-- {
		n.follow(1)
		w.note(n)
	}
}
