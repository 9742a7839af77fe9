package leasequery_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/store"
	"github.com/leasehold/leasehold/fsm/watch"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/leasequery/leasequerytest"
)

// entry is one entry of a log: changes of a source, or, without a source, a time entry that does what is due.
type entry struct {
	clock   binding.Time
	source  string
	changes []binding.Change
}

// history is a log that nodes follow.
type history struct {
	window  time.Duration // for which ends are kept
	entries []entry
}

func (h *history) add(clock binding.Time, source string, changes ...binding.Change) {
	h.entries = append(h.entries, entry{clock, source, changes})
}

// node is a state that follows a log: the real store and the real feed, joined as the state machine joins them.
type node struct {
	log   *history
	store *store.Store
	feed  *watch.Feed
	done  int // entries applied
	age   time.Duration
	fresh bool
	fails error        // what View returns
	walks atomic.Int64 // calls of Oldest

	recall  int                           // marks that are recalled at once; 0: as many as always
	engines map[string]*leasequery.Engine // by configuration: subscriptions of one share what they recall
}

func (h *history) node(feed int) *node {
	n := &node{log: h, store: store.New(), feed: watch.New(feed), fresh: true}
	n.store.CollectMarks(n.feed.Size())
	n.store.SetHistory(h.window)
	return n
}

// follow applies as many more entries, or all when there are not so many.
func (n *node) follow(most int) {
	for ; most > 0 && n.done < len(n.log.entries); most-- {
		e := &n.log.entries[n.done]
		n.done++
		if e.source == "" {
			for more := true; more; {
				_, more = n.store.Maintain(uint64(n.done), e.clock, 1<<20)
			}
		} else {
			n.store.Apply(store.Batch{Index: uint64(n.done), Clock: e.clock, Source: e.source, Changes: e.changes})
		}
		n.feed.Publish(n.store.TakeMarks())
	}
}

// View follows the log to its end first, as a read of the cluster's index does.
func (n *node) View(context.Context) (binding.View, error) {
	if n.fails != nil {
		return nil, n.fails
	}
	n.follow(len(n.log.entries))
	return n.store.View(), nil
}

func (n *node) Latest() binding.History      { return walked{n.store.View(), n} }
func (n *node) Feed() binding.Feed           { return n.feed }
func (n *node) Fresh() (time.Duration, bool) { return n.age, n.fresh }
func (n *node) ServerDUID() []byte           { return serverID }

func (n *node) Now() binding.Time {
	v := n.store.View()
	defer v.Release()
	return v.Clock()
}

var _ leasequery.History = (*node)(nil)

// walked is a view that counts its walks.
type walked struct {
	*store.View
	node *node
}

func (v walked) Oldest(after uint64, dst []binding.Mark) []binding.Mark {
	v.node.walks.Add(1)
	return v.View.Oldest(after, dst)
}

// engine is the node's for the configuration.
func (n *node) engine(config leasequery.Config) *leasequery.Engine {
	key := fmt.Sprintf("%+v", config)
	if n.engines[key] == nil {
		if n.engines == nil {
			n.engines = map[string]*leasequery.Engine{}
		}
		n.engines[key] = leasequery.New(config, n)
		if n.recall > 0 {
			n.engines[key].RecallAtOnce(n.recall)
		}
	}
	return n.engines[key]
}

// active is an ACTIVELEASEQUERY with a client-id.
func active(options ...[]byte) []byte {
	return msg(msgActive, opt(optClientID, requestorID), cat(options...))
}

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// subscribe begins a subscription with the octets.
func (n *node) subscribe(t failer, config leasequery.Config, r *leasequery.Requestor, octets []byte) *leasequery.Subscription {
	t.Helper()
	m, err := dhcpv6.ParseMessage(octets)
	if err != nil {
		t.Fatalf("message %x: %v", octets, err)
	}
	s, err := n.engine(config).Subscribe(context.Background(), leasequery.Request{Message: m, Peer: relayAddr, Requestor: r})
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	return s
}

// upsert is the news that a client has a binding.
func upsert(duid string, kind binding.Kind, prefix string, at binding.Time, change ...func(*binding.Binding)) binding.Change {
	c := leasequerytest.Lease(kind, prefix, duid, nil)
	c.Binding.LastTransaction = at
	for _, f := range change {
		f(&c.Binding)
	}
	return c
}

// end is the news that a client has it no more.
func end(reason binding.State, duid string, kind binding.Kind, prefix string, at binding.Time) binding.Change {
	c := upsert(duid, kind, prefix, at)
	c.Event, c.Reason = binding.End, reason
	return c
}

// behind puts a binding behind a chain of relays.
func behind(c binding.Chain) func(*binding.Binding) { return func(b *binding.Binding) { b.Chain = c } }

// define is the news of a link.
var define = leasequerytest.DefineLink

// show logs all that the node holds.
func (n *node) show(t *rapid.T, w *watched) {
	v := n.store.View()
	defer v.Release()
	if !w.link.IsUnspecified() {
		t.Logf("%v selects links %v", w.link, v.SelectLinks(nil, w.link))
	}
	var c binding.Client
	for cursor := v.Select(binding.Query{Ended: true}); cursor.Next(&c); {
		t.Logf("link %d %v, client %q", c.Link, v.LinkPrefixes(c.Link), c.DUID)
		for _, e := range c.Entries {
			relay, _ := e.Chain.LinkAddress()
			t.Logf("  %v %v %v, changed %v ms later (%d), behind %v, valid %d", e.Kind, e.Prefix, e.State, e.Changed-now, e.Change&0xfffff, relay, e.Valid)
		}
	}
}
