//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// hostileRate is how many leases are renewed a second while there are attacks.
const hostileRate = 2000

// TestHostileInput attacks a node of the built program in every way that enemies have, one by one and all together, while leases are
// renewed and good requestors ask and follow: every answer that they get is right, what is refused is counted by its reason, and when the
// attack is over nothing is left of it. How long answers took, in quiet and under each attack, is printed. LEASEHOLD_SOAK says for how long
// in all; LEASEHOLD_SEED repeats what the enemies do.
func TestHostileInput(t *testing.T) {
	seed := clustertest.Seed(t)
	span := clustertest.SoakFor(t, 4*time.Second)
	l := newHostileLab(t, &hostileWorld{links: 20, clients: 500}, "bulk.data_timeout=2s", "bulk.idle_timeout=5s", "tls.handshake_timeout=1s",
		"active.data_timeout=2s")
	ctx := deadline(t, span+3*time.Minute)
	feed := newRenewer(t, ctx, l.node, l.world)
	fair := &fair{lab: l, probes: []*probe{
		l.overTCP("by address, TCP", seed, nil, false), l.overTCP("by address, TLS", seed, l.client("good"), false), l.overUDP(seed),
		l.overTCP("a relay of 500, TCP", seed, nil, true),
	}, subscribers: []*goodSubscriber{newGoodSubscriber(l, 3), newGoodSubscriber(l, 4)}}
	stop := fair.begin(ctx, feed)
	quiet := fair.watch(ctx, "quiet", span/10)
	attacks := slices.Concat(tcpAttacks(), tlsAttacks(), udpAttacks())
	siege := &siege{lab: l, seed: seed, tls: l.client("bad"), raw: l.openRaw()}
	for _, a := range attacks {
		end, struck := siege.begin(ctx, a)
		fair.watch(ctx, a.name, span/time.Duration(2*len(attacks)))
		until(t, ctx, "the attack has done what it can: "+a.name, struck)
		end()
	}
	end, _ := siege.begin(ctx, attacks...)
	fair.watch(ctx, "all together, first third", span*2/15)
	first := l.mustVitals()
	fair.watch(ctx, "all together, the rest", span*4/15)
	last := l.mustVitals()
	end()
	requireFlat(t, "under attack", first, last)
	after := l.requireRecovers(quiet)
	fair.watch(ctx, "quiet again", span/10)
	stop()
	for _, s := range fair.subscribers {
		s.requireWhole()
	}
	t.Logf("quiet: %v\nunder attack: %v\n        then: %v\n       after: %v", quiet, first, last, after)
	requireCounted(t, after)
}

// fair is the good requestors together.
type fair struct {
	lab         *hostileLab
	probes      []*probe
	subscribers []*goodSubscriber
}

// begin lets them ask, and leases be renewed, until stop.
func (f *fair) begin(ctx context.Context, feed *renewer) (stop func()) {
	run := []func(context.Context){func(ctx context.Context) {
		if err := feed.renew(ctx, hostileRate); err != nil && ctx.Err() == nil {
			f.lab.t.Error(err)
		}
	}}
	for _, p := range f.probes {
		run = append(run, p.run)
	}
	tls := f.lab.client("good")
	for i, s := range f.subscribers {
		if i%2 == 0 {
			run = append(run, func(ctx context.Context) { s.run(ctx, nil) })
		} else {
			run = append(run, func(ctx context.Context) { s.run(ctx, tls) })
		}
	}
	return startAll(f.lab.t, ctx, run...)
}

// watch lets a phase last for a while, and until every good requestor has had an answer in it, and prints it.
func (f *fair) watch(ctx context.Context, what string, d time.Duration) vitals {
	t := f.lab.t
	t.Helper()
	heard := f.lab.world.renewed.Load()
	timer := time.NewTimer(d)
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	until(t, ctx, "every good requestor is answered: "+what, func() bool {
		return !slices.ContainsFunc(f.probes, func(p *probe) bool { return p.answers() == 0 })
	})
	v := f.lab.mustVitals()
	var line strings.Builder
	for _, p := range f.probes {
		fmt.Fprintf(&line, "  %s %s", p.name, p.phase(t, what))
	}
	t.Logf("%-42s p50/p99 in ms:%s; %d renewals; %.0f MB, %.0f goroutines, %.0f descriptors", what, line.String(), f.lab.world.renewed.Load()-heard,
		v.rss()/1e6, v["go_goroutines"], v["process_open_fds"])
	return v
}

// siege makes enemies.
type siege struct {
	lab    *hostileLab
	seed   uint64
	tls    *starttls.Client
	raw    int
	number uint64
}

// begin lets attacks go on, all at once, until end. struck tells whether each was made whole at least once.
func (s *siege) begin(ctx context.Context, attacks ...attack) (end func(), struck func() bool) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	strikes := make([]atomic.Int64, len(attacks))
	for i, a := range attacks {
		for range a.enemies {
			s.number++
			e := newEnemy(ctx, s.lab, s.seed, s.number, s.tls, s.raw, &strikes[i])
			running.Go(func() { e.attack(a.strike) })
		}
	}
	end = func() { cancel(); running.Wait() }
	s.lab.t.Cleanup(end)
	return end, func() bool {
		for i := range strikes {
			if strikes[i].Load() == 0 {
				return false
			}
		}
		return true
	}
}

// counted are samples that attacks must have raised: why connections were refused or ended, and messages discarded.
var counted = []string{
	`leasehold_bulk_connections_refused_total{reason="requestor-limit"}`,
	`leasehold_bulk_connections_refused_total{reason="stranger-limit"}`,
	`leasehold_bulk_connections_closed_total{reason="evicted"}`,
	`leasehold_bulk_connections_closed_total{reason="stalled"}`,
	`leasehold_bulk_connections_closed_total{reason="short-frame"}`,
	`leasehold_bulk_connections_closed_total{reason="handshake"}`,
	`leasehold_bulk_connections_closed_total{reason="starttls"}`,
	`leasehold_bulk_connections_closed_total{reason="insecure"}`,
	`leasehold_bulk_connections_closed_total{reason="tls"}`,
	`leasehold_bulk_connections_closed_total{reason="reset"}`,
	`leasehold_bulk_connections_closed_total{reason="unsubscribed"}`,
	`leasehold_bulk_messages_discarded_total{reason="option-framing"}`,
	`leasehold_bulk_messages_discarded_total{reason="message-type"}`,
	`leasehold_bulk_messages_discarded_total{reason="transaction-id-in-use"}`,
	`leasehold_bulk_messages_discarded_total{reason="cut-short"}`,
	`leasehold_udp_messages_discarded_total{reason="stranger"}`,
	`leasehold_udp_messages_discarded_total{reason="rate"}`,
	`leasehold_udp_messages_discarded_total{reason="relay-message"}`,
	`leasehold_udp_messages_discarded_total{reason="too-many-hops"}`,
	`leasehold_udp_messages_discarded_total{reason="option-framing"}`,
	`leasehold_udp_messages_discarded_total{reason="message-type"}`,
}

// requireCounted fails where an attack was not counted, and prints everything that was refused.
func requireCounted(t *testing.T, v vitals) {
	t.Helper()
	for _, name := range counted {
		if v[name] == 0 {
			t.Errorf("nothing is counted as %s", name)
		}
	}
	var all []string
	for name, value := range v {
		if strings.Contains(name, "reason=") && strings.HasPrefix(name, "leasehold_") && value > 0 {
			all = append(all, fmt.Sprintf("%s %.0f", name, value))
		}
	}
	slices.Sort(all)
	t.Logf("counted:\n%s", strings.Join(all, "\n"))
}
