package clustertest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Any stands for every node in a Rule.
const Any = -1

// Rule says what happens to some messages. They come late by up to Delay, each by a time of its own, so that messages of
// different calls overtake one another; then one in so many is dropped. No message is sent twice, which TCP never does.
type Rule struct {
	From, To int           // Any: all nodes
	Kinds    []Kind        // none: all kinds
	Replies  bool          // the answers, rather than the requests
	Drop     float64       // how likely a message is dropped: 0 to 1
	Delay    time.Duration // at most
}

// String is the rule on one line.
func (r Rule) String() string {
	node := func(i int) string {
		if i == Any {
			return "any"
		}
		return fmt.Sprint(i)
	}
	what := "requests"
	if r.Replies {
		what = "replies"
	}
	return fmt.Sprintf("%v %s %s>%s drop %.0f%% delay %v", r.Kinds, what, node(r.From), node(r.To), 100*r.Drop, r.Delay)
}

func (r *Rule) matches(m Message) bool {
	return (r.From == Any || r.From == m.From) && (r.To == Any || r.To == m.To) && r.Replies == m.Reply &&
		(len(r.Kinds) == 0 || slices.Contains(r.Kinds, m.Kind))
}

// Weather puts rules on every message, in place of a hook. For a message the first rule that matches counts. What the rules
// draw by chance follows the seed, in the order in which messages happen to come.
func (c *Cluster) Weather(seed uint64, rules ...Rule) {
	w := &weather{rules: rules, rng: rand.New(rand.NewPCG(seed, 0))}
	c.Intercept(w.pass)
}

type weather struct {
	rules []Rule

	mu  sync.Mutex
	rng *rand.Rand
}

func (w *weather) pass(m Message) error {
	for i := range w.rules {
		r := &w.rules[i]
		if !r.matches(m) {
			continue
		}
		w.mu.Lock()
		drop, late := w.rng.Float64() < r.Drop, time.Duration(w.rng.Float64()*float64(r.Delay))
		w.mu.Unlock()
		if late > 0 {
			<-time.After(late)
		}
		if drop {
			return fmt.Errorf("%s from node %d to node %d: %w", m.Kind, m.From, m.To, ErrDropped)
		}
		return nil
	}
	return nil
}
