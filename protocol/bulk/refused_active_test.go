package bulk

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/leasehold/leasehold/protocol/leasequery"
)

// closing is a subscription that tells when it is closed.
type closing struct {
	subscription
	closed func()
}

func (c *closing) Close() {
	c.closed()
	c.subscription.Close()
}

// A connection is not free for another subscription at any moment behind one that was refused: that one would take a place in the other's
// name, and no longer be woken once it was given back.
func TestRefusedSubscriptionEndsItsConnectionFirst(t *testing.T) {
	s := serveState(t, activeHouse(t), inClear(), leasequery.Config{})
	var free, closed atomic.Int64
	s.admission.mu.Lock() // which every connection takes behind this
	subscribe := s.subscribe
	s.subscribe = func(ctx context.Context, r leasequery.Request) (subscription, error) {
		sub, err := subscribe(ctx, r)
		if err != nil {
			return nil, err
		}
		return &closing{sub, func() {
			closed.Add(1)
			s.admission.each(func(c *conn) {
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.ending == "" {
					free.Add(1)
				}
			})
		}}, nil
	}
	s.admission.mu.Unlock()
	w := dialWire(t, s.addr)
	w.send(msg(msgActive, 1, opt(optClientID, requestorID), lq(qLink, "2001:db8:77::")))
	w.expectText(subscribed(1, base(0)), stNotConfigured)
	w.expectEnd()
	if free.Load() != 0 || closed.Load() != 1 {
		t.Errorf("closed %d times, %d of them on a connection that took others", closed.Load(), free.Load())
	}
}
