package leasequery_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// period is the span of time that a question is about, in seconds of base time; 0 is open.
type period struct{ start, end uint32 }

func (p period) options() []byte {
	var out []byte
	if p.start != 0 {
		out = append(out, opt(optStartTime, u32(p.start))...)
	}
	if p.end != 0 {
		out = append(out, opt(optEndTime, u32(p.end))...)
	}
	return out
}

// holds tells whether the entry was changed in the period.
func (p period) holds(e *binding.Entry) bool {
	at := e.Changed.BaseTime()
	return (p.start == 0 || at >= p.start) && (p.end == 0 || at <= p.end)
}

// bulk is the question as a LEASEQUERY.
func (w *watched) bulk(p period) []byte {
	return query(p.options(), lq(w.kind, w.link.String(), w.subject(), oro(append(slices.Clone(w.oro), optBaseTime)...)))
}

// keyed is an address or delegated prefix.
type keyed struct {
	prefix    netip.Prefix
	delegated bool
}

func keyOf(e *binding.Entry) keyed { return keyed{e.Prefix, e.Kind == binding.PD} }

// changedIn is what is to be told of the period, every client looked at: words of each binding.
func (w *watched) changedIn(n *node, p period) []string {
	v := n.store.View()
	defer v.Release()
	if w.kind != byAddress {
		anywhere := &watched{kind: w.kind, link: netip.IPv6Unspecified(), value: w.value}
		return w.toldIn(v, p, func(c *binding.Client, e *binding.Entry) bool { return anywhere.matches(nil, c, e) })
	}
	about := func(k keyed) []string {
		return w.toldIn(v, p, func(_ *binding.Client, e *binding.Entry) bool { return keyOf(e) == k })
	}
	if exact := about(keyed{netip.PrefixFrom(w.address, 128), false}); len(exact) > 0 {
		return exact
	}
	if _, _, bound := v.FindAddress(w.address); bound {
		return nil
	}
	for bits := 128; bits >= 0; bits-- {
		if around := about(keyed{netip.PrefixFrom(w.address, bits).Masked(), true}); len(around) > 0 {
			return around
		}
	}
	return nil
}

// toldIn is what is to be told of the clients that match.
func (w *watched) toldIn(v binding.View, p period, matches func(*binding.Client, *binding.Entry) bool) (out []string) {
	var links []binding.LinkID
	if !w.link.IsUnspecified() {
		links = v.SelectLinks(nil, w.link)
	}
	var c binding.Client
	for cursor := v.Select(binding.Query{Ended: true}); cursor.Next(&c); {
		if !w.link.IsUnspecified() && !slices.Contains(links, c.Link) {
			continue
		}
		var newest *binding.Entry
		touched, live, ended := false, false, false
		inForce, told := map[keyed]bool{}, map[keyed]string{}
		for i := range c.Entries {
			e := &c.Entries[i]
			if !w.permits(v, c.Link, e) {
				continue
			}
			if newest == nil || e.Change > newest.Change {
				newest = e
			}
			left := binding.Remaining(e.Valid, e.LastTransaction, v.Clock())
			switch {
			case e.State != binding.Active:
				touched = touched || p.holds(e)
				ended = ended || p.holds(e) && matches(&c, e)
			case left > 0:
				inForce[keyOf(e)] = true
				live = live || matches(&c, e)
				told[keyOf(e)] = fmt.Sprintf("%d/%d", min(left, binding.Remaining(e.Preferred, e.LastTransaction, v.Clock())), left)
			}
		}
		if newest == nil || !touched && !p.holds(newest) || !live && !ended {
			continue
		}
		for i := range c.Entries {
			e := &c.Entries[i]
			if w.permits(v, c.Link, e) && (e.State != binding.Active && p.holds(e) && !inForce[keyOf(e)] || !live && (e.State == binding.Active || p.holds(e))) {
				told[keyOf(e)] = "0/0"
			}
		}
		for k, lifetimes := range told {
			name := k.prefix.String()
			if !k.delegated {
				name = k.prefix.Addr().String()
			}
			out = append(out, fmt.Sprintf("%q %s %s", c.DUID, name, lifetimes))
		}
	}
	return out
}

// TestBulkOfASpanTellsWhatALinearScanFinds: whatever happened, and whatever span of time a question is about, the answer tells of what
// looking at every binding and every end finds, an old owner's end before the new owner's lease, and to a restricted requestor of
// nothing else.
func TestBulkOfASpanTellsWhatALinearScanFinds(t *testing.T) {
	counts := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		h, nodes, clock := drawWorld(t)
		n := nodes[0]
		for range rapid.IntRange(1, 30).Draw(t, "entries") {
			clock = drawEntry(t, h, clock)
		}
		n.follow(len(h.entries))
		for range 10 {
			w := drawWatched(t)
			if w.kind == 0 {
				continue
			}
			w.note(n)
			p := period{}
			instant := rapid.Custom(func(t *rapid.T) uint32 {
				return clock.BaseTime() - uint32(rapid.SampledFrom([]int{-1, 0, 0, 1, 2, 3, 30, 35, 60, 1000}).Draw(t, "ago"))
			})
			if which := rapid.IntRange(1, 3).Draw(t, "times"); which == 1 {
				p.start = instant.Draw(t, "start")
			} else if p.end = instant.Draw(t, "end"); which == 3 {
				p.start = min(p.end, instant.Draw(t, "start"))
			}
			w.checkSpan(t, n, p, counts)
		}
	})
	for _, what := range []string{"clients", "ends", "reassigned", "status", "nothing"} {
		if counts[what] == 0 {
			t.Errorf("no %s: %v", what, counts)
		}
	}
}

// checkSpan asks and compares.
func (w *watched) checkSpan(t *rapid.T, n *node, p period, counts map[string]int) {
	m, err := dhcpv6.ParseMessage(w.bulk(p))
	if err != nil {
		t.Fatal(err)
	}
	a, err := leasequery.New(w.config, n).Begin(t.Context(), leasequery.Request{Message: m, Peer: relayAddr, Requestor: w.requestor})
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{base: true, over: leasequery.TCP}
	answer := s.read(t, a)
	var got []string
	owner := map[string]string{}
	for _, c := range answer.Clients {
		w.inspect(t, c)
		for _, b := range c.Bindings {
			key, lifetimes, _ := strings.Cut(b, " ")
			got = append(got, fmt.Sprintf("%q %s %s", c.DUID, key, lifetimes))
			if lifetimes != "0/0" {
				owner[key] = c.DUID
			} else if counts["ends"]++; owner[key] != "" {
				t.Fatalf("the end of %s of %q comes behind the lease of %q", key, c.DUID, owner[key])
			}
		}
		counts["clients"]++
	}
	want := w.changedIn(n, p)
	for _, x := range want {
		if strings.HasSuffix(x, " 0/0") && owner[strings.Split(x, " ")[1]] != "" {
			counts["reassigned"]++
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" && (answer.Status == 0 || len(want) > 0) {
		t.Fatalf("%v, %+v: status %d (-want +got):\n%s", w, p, answer.Status, d)
	}
	if answer.Status != 0 {
		counts["status"]++
	} else if len(got) == 0 {
		counts["nothing"]++
	}
}
