package binding

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var (
	compareAddrs = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
)

func levelsOf(c Chain) []Level {
	var out []Level
	for l := range c.Levels {
		out = append(out, l)
	}
	return out
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// options makes DHCPv6 options of code, value, code, value, …
func options(pairs ...any) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		v := pairs[i+1].(string)
		b = append(b, 0, byte(pairs[i].(int)), byte(len(v)>>8), byte(len(v)))
		b = append(b, v...)
	}
	return b
}

func TestChainOctets(t *testing.T) {
	got := AppendChain([]byte{0xee}, addr("2001:db8::5"), []Level{
		{HopCount: 1, Link: addr("2001:db8:1::1"), Peer: addr("fe80::2"), Options: options(53, "r")},
		{Peer: addr("fe80::3")},
	})
	want := "ee" + "20010db8000000000000000000000005" +
		"01" + "20010db8000100000000000000000001" + "fe800000000000000000000000000002" + "0005" + "0035000172" +
		"00" + "00000000000000000000000000000000" + "fe800000000000000000000000000003" + "0000"
	if hex.EncodeToString(got) != want {
		t.Errorf("chain %x, want %s", got, want)
	}
	if got := AppendChain(nil, addr("2001:db8::5"), nil); got != nil {
		t.Errorf("chain without levels: %x", got)
	}
}

func TestChainComesBackAsItWent(t *testing.T) {
	drawAddr := rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "octets")))
	})
	rapid.Check(t, func(t *rapid.T) {
		sender := drawAddr.Draw(t, "sender")
		levels := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Level {
			return Level{HopCount: rapid.Byte().Draw(t, "hop-count"), Link: drawAddr.Draw(t, "link"), Peer: drawAddr.Draw(t, "peer"),
				Options: options(18, rapid.StringN(0, 20, 300).Draw(t, "interface-id"), 37, rapid.StringN(0, 20, 40).Draw(t, "remote-id"))}
		}), 1, MaxHops).Draw(t, "levels")
		c := AppendChain(nil, sender, levels)
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(levels, levelsOf(c), compareAddrs); diff != "" || c.Sender() != sender {
			t.Fatalf("sender %v, want %v; levels (-want +got):\n%s", c.Sender(), sender, diff)
		}
		again := AppendChain(nil, c.Sender(), levelsOf(c))
		if !bytes.Equal(again, c) {
			t.Fatalf("encoded again %x, want %x", again, c)
		}
	})
}

func TestNoChain(t *testing.T) {
	var c Chain
	if err := c.Validate(); err != nil {
		t.Errorf("validate: %v", err)
	}
	if s := c.Sender(); s != netip.IPv6Unspecified() {
		t.Errorf("sender %v", s)
	}
	if a, ok := c.LinkAddress(); ok || len(levelsOf(c)) != 0 || c.HasRelayID([]byte("x")) {
		t.Errorf("link-address %v, %v; levels %v", a, ok, levelsOf(c))
	}
}

func TestInvalidChains(t *testing.T) {
	level := Level{Link: addr("2001:db8::1"), Peer: addr("fe80::1"), Options: options(18, "eth0")}
	good := AppendChain(nil, netip.Addr{}, []Level{level, level})
	many := func(n int) []Level {
		out := make([]Level, n)
		for i := range out {
			out[i] = level
		}
		return out
	}
	for name, tc := range map[string]struct {
		chain Chain
		text  string
	}{
		"sender cut":         {good[:15], "broken off at level 0"},
		"sender alone":       {good[:16], "without levels"},
		"first level cut":    {good[:30], "broken off at level 0"},
		"second level cut":   {good[:len(good)-1], "broken off at level 1"},
		"octets behind":      {append(bytes.Clone(good), 1, 2, 3), "broken off at level 2"},
		"33 levels":          {AppendChain(nil, netip.Addr{}, many(33)), "33 levels, want at most 32"},
		"too long":           {AppendChain(nil, netip.Addr{}, []Level{{Options: make([]byte, MaxChain)}}), "octets, want at most 16384"},
		"an option cut":      {AppendChain(nil, netip.Addr{}, []Level{level, {Options: []byte{0, 18, 0, 9, 1}}}), "relay chain level 1: invalid: option 18 at offset 0 has 1 octets of 9"},
		"a header cut":       {AppendChain(nil, netip.Addr{}, []Level{{Options: []byte{0, 18, 0}}}), "relay chain level 0: invalid: option header cut short at offset 0"},
		"with the message":   {AppendChain(nil, netip.Addr{}, []Level{level, {Options: options(18, "x", 9, "message")}}), "relay chain level 1 holds OPTION_RELAY_MSG"},
		"length wraps round": {AppendChain(nil, netip.Addr{}, []Level{{Options: make([]byte, 1<<16)}}), "octets, want at most 16384"},
	} {
		if err := tc.chain.Validate(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: error %v, want %q", name, err, tc.text)
		}
	}
	if err := AppendChain(nil, netip.Addr{}, many(MaxHops)).Validate(); err != nil {
		t.Errorf("%d levels: %v", MaxHops, err)
	}
}

func TestLinkAddressIsTheOneClosestToTheClient(t *testing.T) {
	for _, tc := range []struct {
		links []string // outermost first
		want  string
	}{
		{[]string{"2001:db8:1::1"}, "2001:db8:1::1"},
		{[]string{"2001:db8:1::1", "2001:db8:2::1"}, "2001:db8:2::1"},
		{[]string{"2001:db8:1::1", "::"}, "2001:db8:1::1"},
		{[]string{"2001:db8:1::1", "fe80::1"}, "2001:db8:1::1"},
		{[]string{"2001:db8:1::1", "::1"}, "2001:db8:1::1"},
		{[]string{"2001:db8:1::1", "ff02::1"}, "2001:db8:1::1"},
		{[]string{"2001:db8:1::1", "::ffff:192.0.2.1"}, "2001:db8:1::1"},
		{[]string{"fd00::1", "::", "::"}, "fd00::1"},
		{[]string{"::", "fe80::1"}, ""},
	} {
		var levels []Level
		for _, l := range tc.links {
			levels = append(levels, Level{Link: addr(l)})
		}
		got, ok := AppendChain(nil, netip.Addr{}, levels).LinkAddress()
		if ok != (tc.want != "") || ok && got != addr(tc.want) {
			t.Errorf("link-addresses %v: %v, %v, want %q", tc.links, got, ok, tc.want)
		}
	}
}

func TestIdentifiersOfEveryLevel(t *testing.T) {
	c := AppendChain(nil, netip.Addr{}, []Level{
		{Options: options(53, "outer", 37, "\x00\x00\x00\x09port", 53, "")},
		{Options: options(18, "53")},
		{Options: options(37, "\x00\x00\x00\x0aport", 53, "inner")},
	})
	list := func(seq func(func([]byte) bool)) (out []string) {
		for v := range seq {
			out = append(out, string(v))
		}
		return out
	}
	if diff := cmp.Diff([]string{"outer", "inner"}, list(c.RelayIDs)); diff != "" {
		t.Errorf("relay-ids (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"\x00\x00\x00\x09port", "\x00\x00\x00\x0aport"}, list(c.RemoteIDs)); diff != "" {
		t.Errorf("remote-ids (-want +got):\n%s", diff)
	}
	for id, want := range map[string]bool{"outer": true, "inner": true, "oute": false, "": false, "\x00\x00\x00\x09port": false} {
		if got := c.HasRelayID([]byte(id)); got != want {
			t.Errorf("has relay-id %q: %v", id, got)
		}
	}
	for id, want := range map[string]bool{"\x00\x00\x00\x09port": true, "\x00\x00\x00\x0aport": true, "\x00\x00\x00\x0bport": false, "port": false, "outer": false} {
		if got := c.HasRemoteID([]byte(id)); got != want {
			t.Errorf("has remote-id %q: %v", id, got)
		}
	}
	for range c.RelayIDs {
		break // stopping early must not go on
	}
}

func TestReadingAChainAllocatesNothing(t *testing.T) {
	c := AppendChain(nil, netip.Addr{}, []Level{{Link: addr("2001:db8::1"), Options: options(53, "relay", 37, "port")}, {Options: options(18, "x")}})
	id, n := []byte("port"), 0
	if allocs := testing.AllocsPerRun(100, func() {
		for l := range c.Levels {
			n += len(l.Options)
		}
		if _, ok := c.LinkAddress(); !ok || !c.HasRemoteID(id) || c.Validate() != nil {
			t.Fatal("not the chain that was made")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func FuzzChain(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte(AppendChain(nil, addr("2001:db8::5"), []Level{{Link: addr("2001:db8::1"), Options: options(53, "relay")}, {HopCount: 3}})))
	f.Add(make([]byte, 16+35))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := Chain(b)
		levels := levelsOf(c)
		c.LinkAddress()
		for id := range c.RelayIDs {
			if !c.HasRelayID(id) {
				t.Fatalf("relay-id %x is there and is not", id)
			}
		}
		if err := c.Validate(); err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v does not wrap ErrInvalid", err)
			}
			return
		}
		if again := AppendChain(nil, c.Sender(), levels); !bytes.Equal(again, c) {
			t.Fatalf("chain %x, encoded again %x", c, again)
		}
		if diff := cmp.Diff(levels, levelsOf(bytes.Clone(c)), compareAddrs, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}
