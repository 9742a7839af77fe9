package clustertest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Kind is what a message between nodes is.
type Kind string

// The kinds of message: Raft's, then the peer service's.
const (
	AppendEntries   Kind = "append-entries" // with entries
	Heartbeat       Kind = "heartbeat"      // without
	RequestVote     Kind = "request-vote"
	RequestPreVote  Kind = "request-pre-vote"
	InstallSnapshot Kind = "install-snapshot"
	TimeoutNow      Kind = "timeout-now"
	ReadIndex       Kind = "read-index"
	Term            Kind = "term"
	Describe        Kind = "describe"
	Join            Kind = "join"
)

// ErrDropped is what the sender of a dropped message gets.
var ErrDropped = errors.New("dropped by a test")

// Message is a message on its way. Nodes are numbered in the order in which they were added.
type Message struct {
	From, To int
	Kind     Kind
	Reply    bool // whether this is the answer, on its way back
}

// Hook decides about a message: an error drops it; blocking holds it up.
type Hook func(Message) error

// faults is what is wrong with the network.
type faults struct {
	mu   sync.Mutex
	cuts map[[2]int]bool
	hook Hook
}

func (f *faults) pass(m Message) error {
	f.mu.Lock()
	cut, hook := f.cuts[[2]int{m.From, m.To}], f.hook
	f.mu.Unlock()
	if cut {
		return fmt.Errorf("%s from node %d to node %d: %w", m.Kind, m.From, m.To, ErrDropped)
	}
	if hook != nil {
		return hook(m)
	}
	return nil
}

// Intercept puts a hook on every message; nil takes it off. The hook may be called from many goroutines at once.
func (c *Cluster) Intercept(h Hook) {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	c.faults.hook = h
}

// Cut drops every message from one node to another. Those in the other direction pass.
func (c *Cluster) Cut(from, to int) {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	c.faults.cuts[[2]int{from, to}] = true
}

// Partition drops every message between nodes of different groups. A node that is in no group is alone.
func (c *Cluster) Partition(groups ...[]int) {
	group := func(i int) int {
		return slices.IndexFunc(groups, func(g []int) bool { return slices.Contains(g, i) })
	}
	for a := range c.members {
		for b := range c.members {
			if a != b && (group(a) != group(b) || group(a) < 0) {
				c.Cut(a, b)
			}
		}
	}
}

// Heal mends every cut and takes the hook off.
func (c *Cluster) Heal() {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	c.faults.cuts, c.faults.hook = map[[2]int]bool{}, nil
}
