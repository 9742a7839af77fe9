package leasequery_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	other "github.com/insomniacslk/dhcp/dhcpv6"
	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/protocol/leasequery"
)

// word is what a requestor knows of an address or prefix: whose it is, and until when in base time.
type word struct {
	duid                    string
	validUntil, preferUntil int64
	deprecated              bool // whether it was not preferred any more when it was told of: preferUntil is the time of that
}

const forever = int64(1) << 40

// follower is a requestor as simple as RFC 7653 allows: what it was told last of an address or prefix is so, and what has no
// lifetime is nobody's.
type follower struct {
	t    *rapid.T
	rule *watched
	node *node
	sub  *leasequery.Subscription

	table     map[string]word
	base      uint32 // to go on from
	catching  bool
	replied   bool
	recovered bool
	highest   uint32 // base time of the messages of this subscription that may be gone on from
	out       []byte
	counts    map[string]int
}

// subscribe begins anew at a node, from the base time that is known. It is false if the node refuses: nothing has the link-address any
// more.
func (f *follower) subscribe(n *node) (accepted bool) {
	if f.sub != nil {
		f.sub.Close()
	}
	f.node, f.replied, f.catching, f.highest, f.out = n, false, true, 0, nil
	f.sub = n.subscribe(f.t, f.rule.config, f.rule.requestor, f.rule.message(f.base))
	return !f.sub.Failed()
}

// step takes what the server has to say next, and tells whether it had anything.
func (f *follower) step(idle bool) bool {
	before := len(f.out)
	next := f.sub.Next
	if idle {
		next = f.sub.Idle
	}
	out, more, err := next(f.out)
	if err != nil || !more {
		f.t.Fatalf("subscription is over (more %v, error %v)", more, err)
	}
	f.out = out
	if len(out) == before {
		if idle {
			if !f.sub.Waiting() {
				return true
			}
			f.t.Fatal("no idle message")
		}
		select {
		case <-f.sub.Changed():
			return true
		default:
			return !f.sub.Waiting()
		}
	}
	f.hear(out[before:])
	if f.recovered { // the subscription looks again before anything else happens: see DESIGN.md of links
		f.recovered = false
		f.sub.Pause()
		f.step(false)
	}
	return true
}

// hear reads one message.
func (f *follower) hear(b []byte) {
	m, err := other.MessageFromBytes(b)
	if err != nil {
		f.t.Fatalf("%v: %x", err, b)
	}
	want := other.MessageType(msgData)
	if !f.replied {
		want, f.replied = msgReply, true
	}
	if m.MessageType != want {
		f.t.Fatalf("message type %v, want %v", m.MessageType, want)
	}
	base := m.GetOneOption(optBaseTime)
	if base == nil {
		f.t.Fatalf("no base time: %x", b)
	}
	at := binary.BigEndian.Uint32(base.ToBytes())
	switch s := m.Options.Status(); {
	case s == nil:
	case s.StatusCode == catchUpComplete && f.catching && m.GetOneOption(optClientData) == nil:
		f.catching = false
		f.counts["catch-up complete"]++
	case s.StatusCode == dataMissing && m.GetOneOption(optClientData) == nil:
		f.recover()
	default:
		f.t.Fatalf("status %v: %x", s, b)
	}
	if d := m.GetOneOption(optClientData); d != nil {
		f.learn(at, reader{t: f.t}.client(d.ToBytes()))
		f.counts["clients"]++
	}
	if f.catching {
		return
	}
	if at < f.highest {
		f.t.Fatalf("base time %d behind %d", at, f.highest)
	}
	f.base, f.highest = at, at
}

// learn takes what is said of a client.
func (f *follower) learn(base uint32, c client) {
	f.rule.inspect(f.t, c)
	f.t.Logf("told at %d of %q: %v", base, c.DUID, c.Bindings)
	live := false
	for _, b := range c.Bindings {
		key, lifetimes, _ := strings.Cut(b, " ")
		var preferred, valid int64
		if _, err := fmt.Sscanf(lifetimes, "%d/%d", &preferred, &valid); err != nil {
			f.t.Fatal(err)
		}
		if valid == 0 {
			f.counts["ends"]++
			delete(f.table, key)
			continue
		}
		live = true
		f.table[key] = word{c.DUID, until(base, valid), until(base, preferred), preferred == 0}
	}
	if !live {
		f.counts["exits"]++
	}
}

func until(base uint32, lifetime int64) int64 {
	if lifetime == 1<<32-1 {
		return forever
	}
	return int64(base) + lifetime
}

// recover is what a requestor does when data is missing: it asks for everything, and forgets what it knew. Changes that are told of from
// now on may be older than what it learns so.
func (f *follower) recover() {
	f.catching = false
	f.t.Log("told that data is missing")
	f.counts["data missing"]++
	f.table, f.recovered = f.rule.expected(f.node), true
}

// quiet reads until there is nothing to be told.
func (f *follower) quiet() {
	f.sub.Pause() // a link may have changed without a change of a binding: nobody is woken for that
	for n := 0; f.step(false); n++ {
		if n > 100_000 {
			f.t.Fatal("no end of messages")
		}
		if len(f.out) > 4000 {
			f.out = f.out[:0]
		}
	}
}

// compare checks the table against what the state holds.
func (f *follower) compare(when string) {
	f.node.show(f.t, f.rule)
	want := f.rule.expected(f.node)
	var wrong []string
	for key, w := range want {
		if got, ok := f.table[key]; !ok || got.duid != w.duid || !near(got.validUntil, w.validUntil) || !got.preferredAs(w) {
			wrong = append(wrong, fmt.Sprintf("%s: %+v, want %+v", key, got, w))
		}
	}
	for key, got := range f.table {
		if _, ok := want[key]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s: %+v, want nothing", key, got))
		}
	}
	if slices.Sort(wrong); len(wrong) > 0 {
		f.t.Fatalf("%s, at %v:\n%s", when, f.rule, strings.Join(wrong, "\n"))
	}
}

// preferredAs tells whether w ends to be preferred when x does.
func (x word) preferredAs(w word) bool {
	return near(x.preferUntil, w.preferUntil) || (x.deprecated || w.deprecated) && w.preferUntil <= x.preferUntil+1
}

// near allows for the second that two roundings may differ by.
func near(a, b int64) bool { return a-b <= 1 && b-a <= 1 }
