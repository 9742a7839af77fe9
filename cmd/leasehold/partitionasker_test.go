//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// outcome is one query: the version that was shown, or the error.
type outcome struct {
	begun, ended time.Time
	version      uint32
	age          time.Duration // how long before the query the version had been superseded; 0: it had not
	err          error
}

func answered(o outcome) bool { return o.err == nil }

func refused(o outcome) bool {
	s, ok := errors.AsType[*requestor.StatusError](o.err)
	return ok && s.Status == dhcpv6.StatusQueryTerminated
}

// asker asks for the address again and again, as relays do: with a connection for each query.
type asker struct {
	writer  *partitionWriter
	servers []string
	config  requestor.Config
	once    bool // asks the one server, once; else whichever answers, with retries

	mu  sync.Mutex
	all []outcome
}

func newAsker(h *netlab.Host, w *partitionWriter, nodes ...*nsNode) *asker {
	a := &asker{writer: w, config: requestor.Config{ClientID: newDUID()}}
	d := a.config.Dialer()
	a.config.Dial = func(ctx context.Context, server string) (net.Conn, error) { return h.Dial(ctx, d, "tcp", server) }
	for _, n := range nodes {
		a.servers = append(a.servers, n.Leasequery)
	}
	return a
}

func (a *asker) run(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		o := a.ask(ctx)
		if ctx.Err() == nil {
			a.mu.Lock()
			a.all = append(a.all, o)
			a.mu.Unlock()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

var errImpossible = errors.New("impossible answer")

// ask asks once and says what came of it.
func (a *asker) ask(ctx context.Context) outcome {
	o := outcome{begun: time.Now()}
	clients := 0
	q := requestor.Query{Type: dhcpv6.QueryByAddress, Address: handed}
	each := func(c *requestor.Client) error {
		if clients++; clients > 1 || len(c.DUID) != 9 {
			return fmt.Errorf("%w: client %x", errImpossible, c.DUID)
		}
		o.version = binary.BigEndian.Uint32(c.DUID[5:])
		return nil
	}
	if a.once {
		o.err = a.askOnce(ctx, q, each)
	} else {
		o.err = requestor.QueryAny(ctx, a.servers, a.config, q, each)
	}
	o.ended = time.Now()
	if at, ok := a.writer.superseded(o.version); o.err == nil && ok {
		o.age = max(0, o.begun.Sub(at))
	}
	return o
}

// askOnce asks the one server. Behind a refusal it must close the connection: many requestors notice nothing else.
func (a *asker) askOnce(ctx context.Context, q requestor.Query, each func(*requestor.Client) error) error {
	conn, err := requestor.Dial(ctx, a.servers[0], a.config)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = conn.Query(ctx, q, each)
	if refused(outcome{err: err}) {
		if again := conn.Query(ctx, q, each); !errors.Is(again, requestor.ErrIncomplete) {
			return fmt.Errorf("%w: after QueryTerminated the connection stays, and says: %w", errImpossible, again)
		}
	}
	return err
}

// never is later than everything.
var never = time.Now().Add(1000 * time.Hour)

// count is how many queries of a kind began from one time on, and ended before another.
func (a *asker) count(kind func(outcome) bool, from, to time.Time) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.all {
		if kind(o) && !o.begun.Before(from) && o.ended.Before(to) {
			n++
		}
	}
	return n
}

// first is how long after from the first query of a kind began.
func (a *asker) first(kind func(outcome) bool, from time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.all {
		if kind(o) && !o.begun.Before(from) {
			return o.begun.Sub(from)
		}
	}
	return -1
}

// newest is when the version was written that was shown last.
func (a *asker) newest() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := len(a.all) - 1; i >= 0; i-- {
		if a.all[i].err == nil {
			return a.writer.written(a.all[i].version)
		}
	}
	return time.Time{}
}

// wrong is every answer that is older than the bound, and every query that was neither answered nor, by a single node, refused.
func (a *asker) wrong(bound time.Duration) (out []outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.all {
		if o.age > bound || o.err != nil && !(a.once && refused(o)) {
			out = append(out, o)
		}
	}
	return out
}

// String tells how many queries were answered and refused, how long one took at most, and how old what was shown was at most.
func (a *asker) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var counts [2]int
	var age, took time.Duration
	for _, o := range a.all {
		if answered(o) {
			counts[0]++
		} else {
			counts[1]++
		}
		age, took = max(age, o.age), max(took, o.ended.Sub(o.begun))
	}
	return fmt.Sprintf("%d answered, %d refused, slowest %v, oldest %v", counts[0], counts[1], took.Round(time.Millisecond), age.Round(time.Millisecond))
}
