package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// demoFollower is a relay that follows a link of the recorded Kea by active leasequery.
type demoFollower struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	ended   chan error
	at      atomic.Pointer[string] // the server that has accepted the subscription
	changes atomic.Int64
	told    chan struct{} // a token behind each event
	missing atomic.Bool
}

// follow subscribes at the leader.
func (d *demo) follow() error {
	leader, others, err := d.leaderFirst()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(d.ctx)
	f := &demoFollower{stop: stop, ended: make(chan error, 1), told: make(chan struct{}, 1)}
	q := requestor.ActiveQuery{Query: requestor.Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: netip.MustParseAddr("2001:db8:1003::1")}}
	servers := append([]string{leader.LeasequeryTCP}, others...)
	f.running.Go(func() { f.ended <- requestor.Watch(ctx, servers, requestor.Config{ClientID: newDUID()}, q, f.hear) })
	d.follower = f
	server, err := f.subscribed(d.ctx, "")
	if err != nil {
		return err
	}
	d.say("a relay subscribes to the changes of a link, at %s", server)
	return nil
}

func (f *demoFollower) hear(e *requestor.Event) error {
	switch e.Kind {
	case requestor.EventSubscribed:
		server := e.Server
		f.at.Store(&server)
	case requestor.EventDataMissing:
		f.missing.Store(true)
	case requestor.EventChange:
		f.changes.Add(1)
	}
	select {
	case f.told <- struct{}{}:
	default:
	}
	return nil
}

// await waits for a condition that events may bring about.
func (f *demoFollower) await(ctx context.Context, condition func() bool) error {
	for !condition() {
		select {
		case <-f.told:
		case err := <-f.ended:
			return fmt.Errorf("follow a link: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("follow a link: %w", context.Cause(ctx))
		}
	}
	return nil
}

// subscribed waits until a server that is not gone has accepted the subscription.
func (f *demoFollower) subscribed(ctx context.Context, gone string) (server string, err error) {
	err = f.await(ctx, func() bool {
		if at := f.at.Load(); at != nil {
			server = *at
		}
		return server != "" && server != gone
	})
	return server, err
}

// followOn shows that the subscription goes on elsewhere: the leases of the recorded Kea are renewed, and the relay is told.
func (d *demo) followOn() error {
	f := d.follower
	server, err := f.subscribed(d.ctx, d.killed)
	if err != nil {
		return err
	}
	before, begin := f.changes.Load(), time.Now()
	if err := d.feedKea(); err != nil {
		return err
	}
	clients, err := d.ask(server, requestor.Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: netip.MustParseAddr("2001:db8:1003::1")})
	if err != nil {
		return err
	}
	if err := f.await(d.ctx, func() bool { return f.changes.Load()-before >= int64(len(clients)) }); err != nil {
		return err
	}
	if f.missing.Load() {
		return errors.New("the relay was told that data is missing")
	}
	d.say("its subscription is at %s now, and goes on where it was: all of them are renewed, and within %.2f s it is told of the %d clients on its link",
		server, time.Since(begin).Seconds(), len(clients))
	return nil
}

// close ends the subscription, if there is one.
func (f *demoFollower) close() {
	if f != nil {
		f.stop()
		f.running.Wait()
	}
}
