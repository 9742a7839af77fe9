package ladder

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

const (
	activeSubscribers = 100                   // over all nodes in turn
	activeRelays      = 90                    // of whose leases a subscriber each is told; the other subscribers are told of all
	activeBatch       = 50                    // changes
	activePace        = 10 * time.Millisecond // between batches: 5,000 changes/s
	activeBatches     = 1000
)

// activeLink is the number in the link-address of the relays whose leases the subscribers follow: not one of the other rungs'.
const activeLink = 0xacf0

func activeRelayID(relay int) []byte {
	return binary.BigEndian.AppendUint16([]byte("\x00\x02\x00\x00\x7e\xd9follow"), uint16(relay))
}

// follower measures how long after the acknowledgement of a change it is told of it.
type follower struct {
	acknowledged []atomic.Int64 // of each batch: nanoseconds since begin, or 0
	begin        time.Time
	early        []early // told before the feeder was
	took         []time.Duration
	want         int
}

type early struct {
	batch uint32
	at    time.Duration
}

// hear notes when a client was told of. The client's DUID ends with the number of its batch.
func (f *follower) hear(c *requestor.Client) {
	now := time.Since(f.begin)
	batch := binary.BigEndian.Uint32(c.DUID[len(c.DUID)-4:])
	if at := f.acknowledged[batch].Load(); at != 0 {
		f.took = append(f.took, max(0, now-time.Duration(at)))
		return
	}
	f.early = append(f.early, early{batch, now})
}

// active has subscribers on every node follow new leases at 5,000 a second, and measures how long after the acknowledgement of its
// ingest each of them is told of a lease.
func (m *climb) active() error {
	ctx, cancel := context.WithTimeout(m.ctx, time.Minute)
	defer cancel()
	acknowledged := make([]atomic.Int64, activeBatches)
	begin := time.Now()
	followers := make([]*follower, activeSubscribers)
	subscribed, ended := make(chan struct{}, activeSubscribers), make(chan error, activeSubscribers)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for i := range followers {
		f := &follower{acknowledged: acknowledged, begin: begin, want: activeBatches * activeBatch}
		q := requestor.ActiveQuery{}
		if i < activeRelays {
			q.Query = requestor.Query{Type: dhcpv6.QueryByRelayID, RelayID: activeRelayID(i)}
			f.want = (f.want + activeRelays - 1 - i) / activeRelays
		}
		followers[i] = f
		server := m.cluster.Nodes[i%len(m.cluster.Nodes)].LeasequeryTCP
		running.Go(func() { ended <- f.follow(ctx, server, q, subscribed) })
	}
	for range followers {
		select {
		case <-subscribed:
		case err := <-ended:
			return errors.Join(errors.New("a subscriber ended before the changes began"), err)
		}
	}
	if err := m.feedPaced(ctx, begin, acknowledged); err != nil {
		return err
	}
	for range followers {
		if err := <-ended; err != nil {
			return err
		}
	}
	return m.noteActive(followers, acknowledged)
}

// errHeard ends a subscription that was told of everything.
var errHeard = errors.New("told of everything")

// follow subscribes at a server and hears of changes until all that are to come have.
func (f *follower) follow(ctx context.Context, server string, q requestor.ActiveQuery, subscribed chan<- struct{}) error {
	heard := 0
	err := requestor.Watch(ctx, []string{server}, requestor.Config{ClientID: requestorID()}, q, func(e *requestor.Event) error {
		switch e.Kind {
		case requestor.EventSubscribed:
			subscribed <- struct{}{}
		case requestor.EventChange:
			f.hear(e.Client)
			if heard++; heard == f.want {
				return errHeard
			}
		case requestor.EventTerminated, requestor.EventDataMissing:
			return fmt.Errorf("%v: %w", e.Kind, e.Err)
		}
		return nil
	})
	if errors.Is(err, errHeard) {
		return nil
	}
	return fmt.Errorf("subscriber at %s, told of %d clients of %d: %w", server, heard, f.want, err)
}

// noteActive works out the latencies of all subscribers together.
func (m *climb) noteActive(followers []*follower, acknowledged []atomic.Int64) error {
	var all []time.Duration
	for _, f := range followers {
		all = append(all, f.took...)
		for _, e := range f.early {
			all = append(all, max(0, e.at-time.Duration(acknowledged[e.batch].Load())))
		}
	}
	slices.Sort(all)
	echo, err := echoLatency(echoes)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("active leasequery, %d subscribers on three nodes, 5,000 changes/s, acknowledgement to socket", len(followers))
	m.note(row(name+", p50", ms(all[len(all)/2]), "ms", ms(echo.p50), "loopback echo, p50"))
	m.note(row(name+", p99", ms(all[len(all)*99/100]), "ms", ms(echo.p99), "loopback echo, p99"))
	return nil
}
