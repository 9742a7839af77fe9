package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// subscriber is a relay that follows its leases by active leasequery, and goes on where it was when its server or itself is restarted.
type subscriber struct {
	number  int
	query   requestor.Query // Type 0: everything
	servers []string        // in the order to be asked
	config  requestor.Config
	table   *requestor.Replica

	mu      sync.Mutex
	resume  *uint32 // base time to go on from
	restart context.CancelFunc
	err     error

	trail  map[netip.Prefix][]string // what was said last of each binding
	phases []string                  // of its subscriptions

	changes, missing, ended, partial, sessions, idle atomic.Int64
}

// newSubscriber makes the subscriber of a number; neighbours have different filters, and first servers.
func newSubscriber(number int, rng *rand.Rand, servers []string, config requestor.Config) *subscriber {
	s := &subscriber{number: number, config: config, table: requestor.NewReplica(0), trail: map[netip.Prefix][]string{}}
	s.servers = append(slices.Clone(servers[number%len(servers):]), servers[:number%len(servers)]...)
	s.config.ClientID = append(slices.Clone(config.ClientID), byte(number))
	link, relay := rng.IntN(churnLinks), rng.IntN(2)
	switch number % 10 {
	case 0: // everything
	case 1, 2, 3:
		s.query = requestor.Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: churnLink(link)}
	case 4, 5:
		s.query = requestor.Query{Type: dhcpv6.QueryByRelayID, RelayID: churnRelayID(link, relay)}
	case 6, 7:
		s.query = requestor.Query{Type: dhcpv6.QueryByRemoteID, RemoteID: churnRemoteID(link, relay)}
	case 8:
		s.query = requestor.Query{Type: dhcpv6.QueryByClientID, ClientID: churnDUID(link, rng.IntN(churnClients))}
	case 9:
		p := churnPlace{link, rng.IntN(churnPlaces), rng.IntN(2) == 0}
		s.query = requestor.Query{Type: dhcpv6.QueryByAddress, Address: netip.AddrFrom16(p.octets()), LinkAddress: churnLink(link)}
	}
	return s
}

// everything is the bulk queries that together have all that s is about.
func (s *subscriber) everything() []requestor.Query {
	if s.query.Type != 0 {
		return []requestor.Query{s.query}
	}
	var all []requestor.Query
	for link := range churnLinks {
		all = append(all, requestor.Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: churnLink(link)})
	}
	return all
}

// run follows until ctx ends, begun anew, at another server, as often as again is called.
func (s *subscriber) run(ctx context.Context) {
	for turn := 0; ctx.Err() == nil; turn++ {
		watch, cancel := context.WithCancel(ctx)
		q := requestor.ActiveQuery{Query: s.query, Table: s.table}
		if s.query.Type == 0 {
			q.Recover = s.everything()
		}
		s.mu.Lock()
		q.StartTime, s.restart = s.resume, cancel
		s.mu.Unlock()
		q.Full = q.StartTime == nil
		n := turn % len(s.servers)
		err := requestor.Watch(watch, append(slices.Clone(s.servers[n:]), s.servers[:n]...), s.config, q, s.hear)
		if watch.Err() == nil {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
			cancel()
			return
		}
		cancel()
	}
}

// again ends the subscription, which is then taken up at the next server.
func (s *subscriber) again() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.restart != nil {
		s.restart()
	}
}

func (s *subscriber) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// keptWords is how many words on a binding a subscriber remembers, for whoever has to find out what went wrong.
const keptWords = 8

// note remembers what was said.
func (s *subscriber) note(e *requestor.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Client == nil {
		if e.Kind != requestor.EventIdle {
			s.phases = append(s.phases, fmt.Sprintf("%s %v %s base %d resume %d %v", time.Now().Format("05.000"), e.Kind, e.Server, e.BaseTime, e.Resume, e.Err))
		}
		return
	}
	say := func(p netip.Prefix, valid uint32) {
		word := fmt.Sprintf("%s base %d clt %d valid %d to %x recovered %v", time.Now().Format("05.000"), e.BaseTime, e.Client.LastTransaction, valid, e.Client.DUID, e.Recovered)
		all := append(s.trail[p], word)
		s.trail[p] = all[max(0, len(all)-keptWords):]
	}
	for _, a := range e.Client.Addresses {
		say(netip.PrefixFrom(a.Address, 128), a.Valid)
	}
	for _, p := range e.Client.Prefixes {
		say(p.Prefix, p.Valid)
	}
}

func (s *subscriber) hear(e *requestor.Event) error {
	s.note(e)
	switch e.Kind {
	case requestor.EventSubscribed:
		s.sessions.Add(1)
	case requestor.EventChange:
		s.changes.Add(1)
		for _, a := range e.Client.Addresses {
			if a.Valid == 0 {
				s.ended.Add(1)
			}
		}
	case requestor.EventIdle:
		s.idle.Add(1)
	case requestor.EventDataMissing:
		s.missing.Add(1)
	case requestor.EventCatchUpComplete:
		if e.Partial {
			s.partial.Add(1)
		}
	}
	if e.HasResume {
		resume := e.Resume
		s.mu.Lock()
		s.resume = &resume
		s.mu.Unlock()
	}
	return nil
}

// differs says how what s knows differs from what a server has; empty if it does not. Times are in whole seconds, each rounded by itself. One
// CLT_TIME is of all that a message tells, so that of a binding told beside a newer one is only the oldest that it can be.
func (s *subscriber) differs(ctx context.Context, server string) (why string, err error) {
	conn, err := requestor.Dial(ctx, server, s.config)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	have := requestor.NewReplica(0)
	for _, q := range s.everything() {
		q.BaseTime = true
		err := conn.Query(ctx, q, func(c *requestor.Client) error {
			return have.Apply(&requestor.Event{Kind: requestor.EventChange, Client: c, HasBaseTime: true, BaseTime: c.BaseTime})
		})
		if err != nil {
			return "", err
		}
	}
	why, about := differ(s.table.Holdings(), have.Holdings())
	if why == "" {
		return "", nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%s; it was told\n%s\n%s", why, strings.Join(s.trail[about], "\n"), strings.Join(s.phases, "\n")), nil
}

// differ says how what is known differs from what there is, and of which binding.
func differ(got, want []requestor.Holding) (why string, about netip.Prefix) {
	for i := range max(len(got), len(want)) {
		switch {
		case i == len(want) || i < len(got) && got[i].Prefix != want[i].Prefix && before(got[i], want[i]):
			return fmt.Sprintf("has %v of %x until %d, which the server has not", got[i].Prefix, got[i].DUID, got[i].ValidUntil), got[i].Prefix
		case i == len(got) || got[i].Prefix != want[i].Prefix || got[i].Delegated != want[i].Delegated:
			return fmt.Sprintf("lacks %v of %x until %d", want[i].Prefix, want[i].DUID, want[i].ValidUntil), want[i].Prefix
		case got[i].DUID != want[i].DUID, apart(got[i].ValidUntil, want[i].ValidUntil), got[i].LastTransaction < want[i].LastTransaction-2:
			return fmt.Sprintf("has %+q, the server %+q", fmt.Sprint(got[i]), fmt.Sprint(want[i])), got[i].Prefix
		}
	}
	return "", netip.Prefix{}
}

// apart tells whether two times are not the same one, rounded twice.
func apart(a, b int64) bool { return a-b > 2 || b-a > 2 }

// before tells which of two holdings stands first in a list.
func before(a, b requestor.Holding) bool {
	if a.Delegated != b.Delegated {
		return b.Delegated
	}
	return a.Prefix.Addr().Less(b.Prefix.Addr())
}

// requireKnows waits until s knows exactly what a server has.
func (s *subscriber) requireKnows(t *testing.T, server string) {
	t.Helper()
	ctx := deadline(t, 30*time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for why := ""; ; {
		now, err := s.differs(ctx, server)
		switch {
		case err == nil && now == "":
			return
		case err == nil:
			why = now
		case ctx.Err() == nil || why == "":
			why = err.Error()
		}
		if err := s.failure(); err != nil {
			t.Errorf("subscriber %d (%v) has ended: %v", s.number, s.query.Type, err)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Errorf("subscriber %d (%v) after %d changes and %d subscriptions: %s", s.number, s.query.Type, s.changes.Load(), s.sessions.Load(), why)
			return
		}
	}
}
