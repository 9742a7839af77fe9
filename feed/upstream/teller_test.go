package upstream

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

var (
	na  = netip.MustParseAddr("2001:db8:1::a")
	nb  = netip.MustParseAddr("2001:db8:1::b")
	far = netip.MustParseAddr("2001:db8:9::9")
	pd  = netip.MustParsePrefix("3fff:0:100::/56")
)

// said is a message of query q, at a second of the server's clock behind noon; live is of a subscription.
type said struct {
	q    int
	at   uint32
	live bool
	c    requestor.Client
}

const noon = 800_000_000 // a base time

// of is a client whose last transaction was so long ago.
func of(duid string, ago uint32) requestor.Client {
	return requestor.Client{DUID: []byte(duid), LastTransaction: ago}
}

// with is c with the bindings, each an address, or a prefix, with what remains.
func with(c requestor.Client, bindings ...any) requestor.Client {
	for i := 0; i < len(bindings); i += 3 {
		preferred, valid := uint32(bindings[i+1].(int)), uint32(bindings[i+2].(int))
		switch b := bindings[i].(type) {
		case netip.Addr:
			c.Addresses = append(c.Addresses, requestor.Address{Address: b, Preferred: preferred, Valid: valid})
		case netip.Prefix:
			c.Prefixes = append(c.Prefixes, requestor.Prefix{Prefix: b, Preferred: preferred, Valid: valid})
		}
	}
	return c
}

const never = 1<<32 - 1

// at is how the model writes that a binding is a client's, granted at a second behind noon.
func at(b any, duid string, preferred, valid uint32, seconds int, link string) string {
	if a, ok := b.(netip.Addr); ok {
		b = netip.PrefixFrom(a, 128)
	}
	return fmt.Sprintf("%v is %s's: %d/%d at %d on %q", b, duid, preferred, valid, epoch2000+noon+seconds, link)
}

// twoRelays are queries by two relays; twoLinks by two links, then one by a relay.
var (
	twoRelays = Config{Servers: []string{"a"}, RelayIDs: [][]byte{[]byte("x"), []byte("y")}}
	twoLinks  = Config{Servers: []string{"a"}, RelayIDs: [][]byte{[]byte("x")}, Links: []Link{
		{Name: "one", Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/64")}, Relays: []netip.Addr{netip.MustParseAddr("2001:db8:7::1")}},
		{Name: "all", Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}},
	}}
)

func TestWhatMessagesComeTo(t *testing.T) {
	relayed := func(links ...string) requestor.Client {
		c := with(of("c", 0), pd, 5, 9)
		c.HasRelay = true
		for _, l := range links {
			c.Relay.Levels = append(c.Relay.Levels, requestor.Level{Link: netip.MustParseAddr(l), Peer: netip.IPv6Unspecified()})
		}
		return c
	}
	for _, tc := range []struct {
		name   string
		config Config
		said   []said
		want   []string
	}{
		{"what remains and what has passed is what was granted", twoRelays, []said{
			{0, 100, false, with(of("c", 30), na, 70, 170, pd, 10, 20)},
		}, []string{at(na, "c", 100, 200, 70, ""), at(pd, "c", 40, 50, 70, "")}},
		{"one transaction, rounded either way, is the same", twoRelays, []said{
			{0, 100, false, with(of("c", 30), na, 70, 170)}, {0, 110, false, with(of("c", 39), na, 60, 160)}, {0, 180, true, with(of("c", 111), na, 0, 90)},
		}, []string{at(na, "c", 100, 200, 70, ""), at(na, "c", 100, 200, 70, ""), at(na, "c", 100, 200, 70, "")}},
		{"a renewal is new", twoRelays, []said{
			{0, 100, false, with(of("c", 30), na, 70, 170)}, {0, 110, false, with(of("c", 0), na, 100, 200)},
		}, []string{at(na, "c", 100, 200, 70, ""), at(na, "c", 100, 200, 110, "")}},
		{"a renewal of one binding leaves the others as they were", twoRelays, []said{
			{0, 100, false, with(of("c", 30), na, 70, 170, pd, 10, 20)}, {0, 110, true, with(of("c", 0), na, 60, 160, pd, 40, 50)},
		}, []string{at(na, "c", 100, 200, 70, ""), at(pd, "c", 40, 50, 70, ""), at(na, "c", 100, 200, 70, ""), at(pd, "c", 40, 50, 110, "")}},
		{"an end of one binding leaves the others as they were", twoRelays, []said{
			{0, 100, false, with(of("c", 30), na, 70, 170, pd, 10, 20)}, {0, 110, true, with(of("c", 0), na, 60, 160, pd, 0, 0)},
		}, []string{at(na, "c", 100, 200, 70, ""), at(pd, "c", 40, 50, 70, ""), at(na, "c", 100, 200, 70, ""), "3fff:0:100::/56 is not c's: REASON_DELETED"}},
		{"a renewal that moves no end is of all bindings", twoRelays, []said{
			{0, 100, false, with(of("c", 30), na, 70, 170)}, {0, 110, true, with(of("c", 0), na, 60, 160)},
		}, []string{at(na, "c", 100, 200, 70, ""), at(na, "c", 60, 160, 110, "")}},
		{"lifetimes cut short are new", twoRelays, []said{
			{0, 100, false, with(of("c", 30), na, 70, 170)}, {0, 110, true, with(of("c", 40), na, 0, 160)},
		}, []string{at(na, "c", 100, 200, 70, ""), at(na, "c", 0, 200, 70, "")}},
		{"a preferred lifetime that is told whole again when it is over (Kea) is over", twoRelays, []said{
			{0, 100, false, with(of("c", 0), na, 50, 400)}, {0, 149, false, with(of("c", 49), na, 1, 351)}, {0, 200, false, with(of("c", 100), na, 50, 300)},
			{0, 300, false, with(of("c", 200), na, 50, 200)}, {0, 310, false, with(of("c", 0), na, 50, 400)},
		}, []string{at(na, "c", 50, 400, 100, ""), at(na, "c", 50, 400, 100, ""), at(na, "c", 50, 400, 100, ""), at(na, "c", 50, 400, 100, ""), at(na, "c", 50, 400, 310, "")}},
		{"the same, and it was over at first", twoRelays, []said{
			{0, 200, false, with(of("c", 100), na, 50, 300)}, {0, 220, false, with(of("c", 120), na, 50, 280)}, {0, 300, false, with(of("c", 200), na, 50, 200)},
		}, []string{at(na, "c", 150, 400, 100, ""), at(na, "c", 0, 400, 100, ""), at(na, "c", 0, 400, 100, "")}},
		{"what never ends", twoRelays, []said{
			{0, 100, false, with(of("c", 30), na, never, never, nb, never-30, never-30, pd, 7, never-31)},
		}, []string{at(na, "c", never, never, 70, ""), at(nb, "c", never, never, 70, ""), at(pd, "c", 37, never, 70, "")}},
		{"what never ends is not what is longer than can be counted", twoRelays, []said{
			{0, 100, false, with(of("c", 1<<30), na, 1<<30, 1<<30)},
		}, []string{at(na, "c", 1<<31, 1<<31, 100-1<<30, "")}},
		{"preferred is at most valid", twoRelays, []said{
			{0, 100, false, with(of("c", 30), na, 500, 170)},
		}, []string{at(na, "c", 200, 200, 70, "")}},
		{"no lease: declined, or nothing remains, or no global address, or bits behind a prefix, or from before 1970", twoRelays, []said{
			{0, 100, false, with(of("\x00", 0), na, 5, 9)}, {0, 100, false, with(of("\x00\x00\x00", 0), na, 5, 9)}, {0, 100, false, with(of("c", 1), na, 0, 0)},
			{0, 100, false, with(of("c", 0), netip.MustParseAddr("ff02::1"), 5, 9, netip.MustParseAddr("fe80::1"), 5, 9, netip.MustParsePrefix("3fff::1/56"), 5, 9)},
			{0, 100, false, with(of("c", never), na, 5, 9)}, {0, 100, true, with(of("c", 0), nb, 0, 0)},
		}, nil},
		{"an end", twoRelays, []said{
			{0, 100, true, with(of("c", 0), na, 5, 9, pd, 5, 90)}, {0, 103, true, with(of("c", 3), na, 0, 0, pd, 2, 87)},
			{0, 120, true, with(of("c", 20), pd, 0, 0)}, {0, 121, true, with(of("c", 21), pd, 0, 0)},
		}, []string{at(na, "c", 5, 9, 100, ""), at(pd, "c", 5, 90, 100, ""), "2001:db8:1::a/128 is not c's: REASON_DELETED",
			at(pd, "c", 5, 90, 100, ""), "3fff:0:100::/56 is not c's: REASON_DELETED"}},
		{"an end of what had run out", twoRelays, []said{
			{0, 100, true, with(of("c", 0), na, 5, 9)}, {0, 110, true, with(of("c", 10), na, 0, 0)},
		}, []string{at(na, "c", 5, 9, 100, ""), "2001:db8:1::a/128 is not c's: REASON_EXPIRED"}},
		{"another client's address: the end that comes late is not its", twoRelays, []said{
			{0, 100, true, with(of("c", 0), na, 5, 9)}, {1, 101, true, with(of("d", 0), na, 5, 9)}, {0, 102, true, with(of("c", 2), na, 0, 0)},
		}, []string{at(na, "c", 5, 9, 100, ""), at(na, "d", 5, 9, 101, "")}},
		{"from one relay to another, the end first", twoRelays, []said{
			{0, 100, true, with(of("c", 0), na, 5, 9)}, {0, 104, true, with(of("c", 4), na, 0, 0)}, {1, 104, true, with(of("c", 0), na, 5, 9)},
		}, []string{at(na, "c", 5, 9, 100, ""), "2001:db8:1::a/128 is not c's: REASON_DELETED", at(na, "c", 5, 9, 104, "")}},
		{"from one relay to another, the end last", twoRelays, []said{
			{0, 100, true, with(of("c", 0), na, 5, 9)}, {1, 104, true, with(of("c", 0), na, 5, 9)}, {0, 104, true, with(of("c", 4), na, 0, 0)},
			{1, 105, true, with(of("c", 1), na, 0, 0)},
		}, []string{at(na, "c", 5, 9, 100, ""), at(na, "c", 5, 9, 104, ""), "2001:db8:1::a/128 is not c's: REASON_DELETED"}},
		{"two queries find it: it is stated once, and ends when both have said so", twoRelays, []said{
			{0, 100, true, with(of("c", 0), na, 50, 90)}, {1, 101, true, with(of("c", 1), na, 49, 89)}, {1, 102, true, with(of("c", 2), na, 0, 0)},
			{0, 102, true, with(of("c", 2), na, 0, 0)},
		}, []string{at(na, "c", 50, 90, 100, ""), "2001:db8:1::a/128 is not c's: REASON_DELETED"}},
		{"two queries find it, and one of them does not any more", twoRelays, []said{
			{0, 100, true, with(of("c", 0), na, 50, 90)}, {1, 101, true, with(of("c", 1), na, 49, 89)}, {1, 102, true, with(of("c", 2), na, 0, 0)},
		}, []string{at(na, "c", 50, 90, 100, "")}},
		{"two queries find it, renewed, and the first of them does not any more", twoRelays, []said{
			{0, 100, true, with(of("c", 0), na, 50, 90)}, {1, 111, true, with(of("c", 0), na, 50, 90)}, {1, 112, true, with(of("c", 1), na, 0, 0)},
		}, []string{at(na, "c", 50, 90, 100, ""), at(na, "c", 50, 90, 111, "")}},
		{"two queries find it at different times: the newest transaction counts", twoRelays, []said{
			{0, 100, false, with(of("c", 0), na, 50, 90)}, {1, 101, false, with(of("c", 20), na, 30, 70)}, {1, 120, false, with(of("d", 90), na, 5, 9)},
			{1, 120, false, with(of("d", 3), na, 5, 9)},
		}, []string{at(na, "c", 50, 90, 100, ""), at(na, "d", 8, 12, 117, "")}},
		{"the link that was asked about", twoLinks, []said{
			{1, 100, false, with(of("c", 0), na, 5, 9)}, {0, 100, false, with(of("d", 0), far, 5, 9, pd, 5, 9)},
		}, []string{at(na, "c", 5, 9, 100, "all"), at(far, "d", 5, 9, 100, "one"), at(pd, "d", 5, 9, 100, "one")}},
		{"the link where the client is known to be, or that holds its address", twoLinks, []said{
			{0, 100, false, with(of("d", 0), far, 5, 9)}, {2, 102, false, with(of("d", 2), far, 3, 7, pd, 3, 7)}, {2, 100, false, with(of("e", 0), nb, 5, 9)},
		}, []string{at(far, "d", 5, 9, 100, "one"), at(pd, "d", 5, 9, 100, "one"), at(nb, "e", 5, 9, 100, "one")}},
		{"the link that holds the link-address nearest to the client", twoLinks, []said{
			{2, 100, false, relayed("2001:db8:1::1", "2001:db8:5::1", "fe80::1", "::")},
		}, []string{at(pd, "c", 5, 9, 100, "all")}},
		{"the link of a relay", twoLinks, []said{{2, 100, false, relayed("2001:db8:1::1", "2001:db8:7::1")}}, []string{at(pd, "c", 5, 9, 100, "all")}},
		{"no link", twoLinks, []said{{2, 100, false, relayed("2001:db8:1::1", "3fff:9::1")}}, []string{at(pd, "c", 5, 9, 100, "")}},
	} {
		t.Run(tc.name, func(t *testing.T) { stateAll(t, tc.config, tc.said, tc.want) })
	}
}

// stateAll has messages stated, and compares what was stated between the begin of the statement and its close.
func stateAll(t *testing.T, config Config, all []said, want []string) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(t)
		teller, err := s.begin(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range all {
			x.c.HasBaseTime, x.c.BaseTime = true, noon+x.at
			if err := teller.take(&x.c, origin{query: x.q, link: s.queries[x.q].link, live: x.live}); err != nil {
				t.Error(err)
			}
		}
		if err := teller.close(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(append([]string{"begin"}, want...), m.lines); diff != "" {
			t.Errorf("stated (-want +got):\n%s", diff)
		}
	})
}

// The transaction time is that of the server's clock, whatever this machine's clock says; without base times it counts from when the
// message came.
func TestTimesAreOfTheServersClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(twoRelays)
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(t)
		teller, err := s.begin(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		c := with(of("c", 30), na, 70, 170)
		if err := teller.take(&c, origin{link: noLink}); err != nil {
			t.Fatal(err)
		}
		if got := m.held[placeOf(netip.PrefixFrom(na, 128), false)].last; got != time.Now().Add(-30*time.Second).UnixMilli() {
			t.Errorf("without base time: %v", time.UnixMilli(got))
		}
		if c := s.Condition(); c.Measured {
			t.Errorf("%+v", c)
		}
		ahead := 90 * time.Second
		base := uint32(time.Now().Add(ahead).Unix() - epoch2000)
		s.clock.sample(base-1, time.Now()) // one that was late
		s.clock.sample(base, time.Now())
		s.clock.sample(base-5, time.Now())
		c = with(of("d", 30), nb, 70, 170)
		c.HasBaseTime, c.BaseTime = true, base-4 // of an answer that took 4 s to come
		if err := teller.take(&c, origin{link: noLink}); err != nil {
			t.Fatal(err)
		}
		if got, want := m.held[placeOf(netip.PrefixFrom(nb, 128), false)].last, time.Now().Add(-34*time.Second-baseLag*time.Millisecond).UnixMilli(); got != want {
			t.Errorf("with base time: %v, want %v", time.UnixMilli(got), time.UnixMilli(want))
		}
		if c := s.Condition(); !c.Measured || c.Skew != ahead+baseLag*time.Millisecond {
			t.Errorf("%+v", c)
		}
		<-time.After(3 * clockSpan)
		for range 2 { // what was measured long ago is forgotten
			s.clock.sample(uint32(time.Now().Unix()-epoch2000), time.Now())
			<-time.After(2 * clockSpan)
		}
		if c := s.Condition(); c.Skew != baseLag*time.Millisecond {
			t.Errorf("after the clock was set: %+v", c)
		}
		if err := teller.close(); err != nil {
			t.Error(err)
		}
	})
}

func TestOptionsAndRelayData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := twoRelays
		config.Options = []dhcpv6.OptionCode{39, 17}
		s, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(t)
		teller, err := s.begin(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		c := with(of("c", 0), na, 5, 9)
		c.Options = []requestor.Option{{Code: 39, Data: []byte{1}}, {Code: 16, Data: []byte{2}}, {Code: 17, Data: []byte{3, 4}}}
		c.HasRelay, c.Relay.Peer = true, netip.MustParseAddr("2001:db8::7")
		c.Relay.Levels = []requestor.Level{
			{HopCount: 1, Link: netip.MustParseAddr("2001:db8::1"), Peer: netip.MustParseAddr("fe80::1"), Options: []requestor.Option{{Code: 18, Data: []byte("i")}, {Code: 18}}},
			{Link: netip.IPv6Unspecified(), Peer: netip.MustParseAddr("fe80::2")},
		}
		d := with(of("d", 0), nb, 5, 9)
		d.Options = []requestor.Option{{Code: 39, Data: make([]byte, 5000)}}
		d.HasRelay, d.Relay = true, c.Relay
		d.Relay.Peer = netip.IPv6Unspecified()
		e := with(of("e", 0), far, 5, 9)
		e.Flaw = errors.New("its relay data")
		for _, c := range []*requestor.Client{&c, &d, &e} {
			if err := teller.take(c, origin{link: noLink}); err != nil {
				t.Fatal(err)
			}
		}
		chain := ", 1 2001:db8::1 fe80::1 001200016900120000, 0 :: fe80::2 "
		for a, want := range map[netip.Addr][2]string{
			na: {"002700010100110002" + "0304", "from 2001:db8::7" + chain}, nb: {"", "from invalid IP" + chain}, far: {"", ""},
		} {
			h := m.held[placeOf(netip.PrefixFrom(a, 128), false)]
			if h.options != want[0] || h.relays != want[1] {
				t.Errorf("%v: options %s, relays %q, want %q", a, h.options, h.relays, want)
			}
		}
		if got := s.Condition().Refused; got != 2 {
			t.Errorf("%d refused, want 2", got)
		}
		if err := teller.close(); err != nil {
			t.Error(err)
		}
	})
}

func TestTableIsBounded(t *testing.T) {
	config := twoRelays
	config.MaxBindings = 1
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	teller, err := s.begin(t.Context(), newModel(t))
	if err != nil {
		t.Fatal(err)
	}
	c := with(of("c", 0), na, 5, 9, nb, 5, 9)
	if err := teller.take(&c, origin{link: noLink}); !errors.Is(err, errFull) {
		t.Errorf("error %v, want errFull", err)
	}
	if err := teller.close(); err != nil {
		t.Error(err)
	}
}

// What has run out makes room for others, although no statement was ever whole.
func TestWhatHasRunOutIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := twoRelays
		config.MaxBindings = 1
		s, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(t)
		for i, c := range []requestor.Client{with(of("c", 0), na, 5, 9), with(of("d", 0), nb, 5, 9), with(of("e", 0), na, 5, never), with(of("d", 0), nb, 5, 9)} {
			teller, err := s.begin(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			err = teller.take(&c, origin{link: noLink})
			if full := i == 3; errors.Is(err, errFull) != full { // only what never ends is in the way
				t.Errorf("%s: error %v", c.DUID, err)
			}
			if err := teller.close(); err != nil {
				t.Error(err)
			}
			<-time.After(13 * time.Second)
		}
	})
}
