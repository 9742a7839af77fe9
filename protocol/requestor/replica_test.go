package requestor

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// parsed is a client as it comes with a base time.
func parsed(t *testing.T, at uint32, data dhcpv6.Options) *Client {
	t.Helper()
	var c Client
	if found, err := c.parseMessage(message(dhcpv6.MessageLeasequeryData, dhcpv6.TransactionID{}, join(data, base(at)))); err != nil || !found {
		t.Fatal(found, err)
	}
	return &c
}

func heard(t *testing.T, r *Replica, at uint32, data dhcpv6.Options) {
	t.Helper()
	if err := r.Apply(&Event{Kind: EventChange, Client: parsed(t, at, data), HasBaseTime: true, BaseTime: at}); err != nil {
		t.Fatal(err)
	}
}

// table is what a table holds, a line each.
func table(r *Replica) (out []string) {
	for _, h := range r.Holdings() {
		b := h.Prefix.Addr().As16()
		out = append(out, fmt.Sprintf("%d %c until %d heard %d", int(b[14])<<8|int(b[15]), h.DUID[2], h.ValidUntil, h.LastTransaction))
	}
	return out
}

func TestReplicaFollowsChanges(t *testing.T) {
	r := NewReplica(0)
	heard(t, r, 100, holds('b', 2, 50, 5))
	heard(t, r, 100, holds('a', 1, infinite, 0))
	heard(t, r, 101, holds('a', 3, 50, 0))
	heard(t, r, 102, holds('c', 3, 0, 0)) // not its own any more
	if diff := cmp.Diff([]string{"1 a until 9223372036854775807 heard 100", "2 b until 150 heard 95", "3 a until 151 heard 101"}, table(r)); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	heard(t, r, 103, holds('b', 2, 0, 0))
	heard(t, r, 104, holds('a', 3, 90, 1)) // renewed
	if diff := cmp.Diff([]string{"1 a until 9223372036854775807 heard 100", "3 a until 194 heard 103"}, table(r)); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if at, ok := r.Base(); at != 104 || !ok {
		t.Errorf("base time %d %v, want 104", at, ok)
	}
}

// What counts between a bulk answer and what the subscription has said since data was missing.
func TestBulkAgainstLive(t *testing.T) {
	for _, tc := range []struct {
		name   string
		before func(r *Replica) // the gap
		live   func(r *Replica)
		at     uint32 // of the bulk answer
		bulk   dhcpv6.Options
		told   bool
		lost   int
		want   []string // after it
	}{
		{name: "nothing known", at: 203, bulk: holds('a', 1, 50, 3), told: true, want: []string{"1 a until 253 heard 200"}},
		{name: "the same before", before: func(r *Replica) { heard(t, r, 100, holds('a', 1, 153, 0)) }, at: 203, bulk: holds('a', 1, 50, 103),
			want: []string{"1 a until 253 heard 100"}},
		{name: "renewed unnoticed", before: func(r *Replica) { heard(t, r, 100, holds('a', 1, 153, 0)) }, at: 203, bulk: holds('a', 1, 50, 2),
			told: true, want: []string{"1 a until 253 heard 201"}},
		{name: "reassigned unnoticed", before: func(r *Replica) { heard(t, r, 100, holds('b', 1, 153, 0)) }, at: 203, bulk: holds('a', 1, 50, 2),
			told: true, lost: 1, want: []string{"1 a until 253 heard 201"}},
		{name: "renewed live, bulk is older", live: func(r *Replica) { heard(t, r, 204, holds('a', 1, 90, 0)) }, at: 203, bulk: holds('a', 1, 50, 3),
			want: []string{"1 a until 294 heard 204"}},
		{name: "renewed live, bulk of the same second", live: func(r *Replica) { heard(t, r, 203, holds('a', 1, 90, 1)) }, at: 203,
			bulk: holds('a', 1, 50, 0), want: []string{"1 a until 293 heard 202"}},
		{name: "renewed live, and again in bulk", live: func(r *Replica) { heard(t, r, 203, holds('a', 1, 90, 1)) }, at: 205, bulk: holds('a', 1, 99, 1),
			told: true, want: []string{"1 a until 304 heard 204"}},
		{name: "expired live, bulk is older", live: func(r *Replica) { heard(t, r, 203, holds('a', 1, 0, 103)) }, at: 202, bulk: holds('a', 1, 1, 102)},
		{name: "expired live, told early", live: func(r *Replica) { heard(t, r, 202, holds('a', 1, 0, 102)) }, at: 203, bulk: holds('a', 1, 1, 103)},
		{name: "had live again by another", live: func(r *Replica) { heard(t, r, 203, holds('a', 1, 0, 3)); heard(t, r, 203, holds('b', 1, 90, 0)) },
			at: 202, bulk: holds('a', 1, 10, 2), want: []string{"1 b until 293 heard 203"}},
		{name: "ended live, had again in bulk", live: func(r *Replica) { heard(t, r, 203, holds('a', 1, 0, 3)) }, at: 210, bulk: holds('b', 1, 90, 1),
			told: true, want: []string{"1 b until 300 heard 209"}},
		{name: "another name", before: func(r *Replica) { heard(t, r, 100, named('a', 1, 153, 0, "old")) }, at: 203, bulk: named('a', 1, 50, 103, "new"),
			told: true, want: []string{"1 a until 253 heard 100"}},
		{name: "the same name", before: func(r *Replica) { heard(t, r, 100, named('a', 1, 153, 0, "old")) }, at: 203, bulk: named('a', 1, 50, 103, "old"),
			want: []string{"1 a until 253 heard 100"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewReplica(0)
			if tc.before != nil {
				tc.before(r)
			}
			r.openGap()
			if tc.live != nil {
				tc.live(r)
			}
			lost, told, err := r.merge(parsed(t, tc.at, tc.bulk))
			if err != nil || told != tc.told || len(lost) != tc.lost {
				t.Errorf("told %v, lost %v, %v; want told %v, lost %d", told, lost, err, tc.told, tc.lost)
			}
			if swept := r.closeGap(nobody); len(swept) > 0 {
				t.Errorf("swept %v", swept)
			}
			if diff := cmp.Diff(tc.want, table(r)); diff != "" {
				t.Errorf("table (-want +got):\n%s", diff)
			}
		})
	}
}

// named is a client with a host name.
func named(who byte, address int, valid, ago uint32, name string) dhcpv6.Options {
	data := holds(who, address, valid, ago)[4:] // what is in OPTION_CLIENT_DATA
	return must(dhcpv6.ClientData{Options: join(data, must(dhcpv6.ClientFQDN{Name: append([]byte{byte(len(name))}, name...)}))})
}

// After a gap nothing is left of what was kept for it, and it sweeps once.
func TestGapLeavesNothing(t *testing.T) {
	r := NewReplica(3)
	heard(t, r, 100, holds('b', 2, 900, 0))
	heard(t, r, 100, holds('a', 1, 900, 0))
	r.openGap()
	heard(t, r, 101, holds('c', 3, 0, 0)) // never known
	if err := r.hear(parsed(t, 101, holds('d', 4, 900, 0))); !errors.Is(err, ErrTableFull) {
		t.Errorf("a fourth of three: %v, want ErrTableFull", err)
	}
	var swept []string
	for _, e := range r.closeGap(nobody) {
		c := endedClient([]ended{e}, 110)
		swept = append(swept, fmt.Sprintf("%c %v %d", c.DUID[2], c.Addresses[0].Address, c.LastTransaction))
	}
	if diff := cmp.Diff([]string{"a 2001:db8::1 10", "b 2001:db8::2 10"}, swept); diff != "" {
		t.Errorf("swept (-want +got):\n%s", diff)
	}
	if len(r.words) != 0 || len(r.closeGap(nobody)) != 0 {
		t.Errorf("kept %v", r.words)
	}
}

func TestEventJSON(t *testing.T) {
	c := parsed(t, 100, holds('a', 1, 0, 4))
	for _, tc := range []struct {
		event Event
		want  string
	}{
		{Event{Kind: EventChange, Client: c, HasBaseTime: true, BaseTime: 100}, `{"event":"change","base_time":100,"duid":"00:02:61",` +
			`"last_transaction_seconds":4,"addresses":[{"address":"2001:db8::1","preferred":0,"valid":0}],"prefixes":[],"options":[]}`},
		{Event{Kind: EventCatchUpComplete, HasBaseTime: true, Recovered: true, Partial: true},
			`{"event":"catch-up-complete","base_time":0,"recovered":true,"partial":true}`},
		{Event{Kind: EventIdle, Server: "a", HasBaseTime: true, BaseTime: 7}, `{"event":"idle","base_time":7}`},
		{Event{Kind: EventTerminated, Server: "a", Err: ErrStalled}, `{"event":"terminated","server":"a","reason":"server sends nothing"}`},
	} {
		got, err := tc.event.AppendJSON([]byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff("x"+tc.want, string(got)); diff != "" {
			t.Errorf("JSON (-want +got):\n%s", diff)
		}
	}
}

// A change allocates nothing for each message, once its binding is known.
func TestHearingAllocatesLittle(t *testing.T) {
	r := NewReplica(0)
	e := &Event{Kind: EventChange, Client: parsed(t, 100, named('a', 1, 900, 0, "host")), HasBaseTime: true, BaseTime: 100}
	if n := testing.AllocsPerRun(100, func() {
		if err := r.Apply(e); err != nil {
			t.Fatal(err)
		}
	}); n > 1 { // the DUID, to compare
		t.Errorf("%v allocations a change", n)
	}
}

func nobody(string) bool { return false }
