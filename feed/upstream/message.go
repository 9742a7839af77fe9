package upstream

import (
	"net/netip"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// news is what a message says of one binding.
type news struct {
	lease
	place place
	ended bool
	old   entry // what was known, if mine or foreign
	mine  bool  // the client is known to have it
	other bool  // another client is
	same  bool  // both ends are where they were
}

// origin is what a message was an answer to.
type origin struct {
	query int  // number of the query, or of the subscription
	link  int  // number of the link that was asked about, or noLink
	live  bool // whether it is of a subscription, where a lifetime of 0 is an end
}

// message is a message's client, and what goes for all its bindings.
type message struct {
	*requestor.Client
	origin
	now    int64 // when it was made: seconds since 1970 on the server's clock if it has told it
	skew   int64 // that clock minus this machine's, in milliseconds
	jitter int64
	client uint64
	on     int16 // number of the link that the client is on, or noLink
}

// noDUID tells whether these octets stand for no DUID, as in Kea's declined leases.
func noDUID(duid []byte) bool {
	return string(duid) == "\x00" || string(duid) == "\x00\x00\x00"
}

// describe finds the time that the message's times count from.
func (t *teller) describe(c *requestor.Client, from origin) message {
	m := message{Client: c, origin: from, client: t.source.known.client(c.DUID), now: time.Now().Unix(), jitter: arrivalJitter}
	if c.HasBaseTime {
		skew, _ := t.source.clock.skew()
		m.now, m.skew, m.jitter = epoch2000+int64(c.BaseTime), skew.Milliseconds(), baseJitter
	}
	return m
}

// collect reads the message's bindings into t.news.
func (t *teller) collect(m *message) {
	t.news = t.news[:0]
	for _, a := range m.Addresses {
		t.collectOne(m, netip.PrefixFrom(a.Address, 128), false, a.Preferred, a.Valid)
	}
	for _, p := range m.Prefixes {
		t.collectOne(m, p.Prefix, true, p.Preferred, p.Valid)
	}
}

func (t *teller) collectOne(m *message, p netip.Prefix, delegated bool, preferred, valid uint32) {
	if err := storable(p, delegated, m.DUID); err != nil {
		t.source.refuse(m.Client, p, err)
		return
	}
	last := m.now - int64(m.LastTransaction)
	if last < 0 {
		t.source.refuse(m.Client, p, errTime)
		return
	}
	n := news{place: placeOf(p, delegated), ended: valid == 0, lease: lease{last, granted(valid, m.LastTransaction), granted(min(preferred, valid), m.LastTransaction)}}
	if old, ok := t.source.known.entries[n.place]; ok {
		n.old, n.mine, n.other = old, old.client == m.client, old.client != m.client
		if n.mine && !n.ended && old.revived(n.lease, m.jitter) {
			n.preferred = 0
		}
		n.same = n.mine && !n.ended && old.sameEnds(n.lease, m.now, m.jitter)
	}
	t.news = append(t.news, n)
}

// granted is the lifetime of which so much remains after so many seconds. Some servers (Kea) age what never ends.
func granted(remains, ago uint32) uint32 {
	if remains == 0 {
		return 0
	}
	sum := uint64(remains) + uint64(ago)
	if remains == binding.Infinity || remains > 1<<31 && sum >= uint64(binding.Infinity-arrivalJitter) {
		return binding.Infinity
	}
	return uint32(min(sum, uint64(binding.Infinity-1)))
}
