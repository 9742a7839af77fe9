package leasequery_test

import (
	"sync"
	"testing"

	"github.com/leasehold/leasehold/protocol/leasequery"
)

// Subscribers that come from far behind share one walk over the state, however many they are.
func TestSubscriptionsRecallTogether(t *testing.T) {
	const clients, subscribers = 5000, 20
	full, _ := busy(t, clients)
	n := full.log.node(1)
	n.follow(len(n.log.entries))
	var subs [subscribers]*leasequery.Subscription
	for i := range subs {
		subs[i] = n.subscribe(t, leasequery.Config{}, nil, active(start(0)))
		defer subs[i].Close()
		if _, more, err := subs[i].Next(nil); err != nil || !more {
			t.Fatalf("subscription is over: %v", err)
		}
	}
	var all sync.WaitGroup
	for _, s := range subs {
		all.Go(func() {
			if told := drain(t, s, make([]byte, 0, 128<<10)); told != clients { // the first was in the REPLY, CatchUpComplete comes
				t.Errorf("%d messages", told)
			}
		})
	}
	all.Wait()
	if walks := n.walks.Load(); walks != 1 {
		t.Errorf("%d walks over the state for %d subscribers", walks, subscribers)
	}
}
