package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// familyTalk has a cluster say all that leasequery knows: over UDP, directly and through relays, bulk with times, subscriptions, and
// errors of each.
type familyTalk struct {
	*talk
	sample   *fedSample
	ordinary []byte // the DUID of a client, and an address of it
	address  netip.Addr
	wanderer []byte // the DUID of one that is on several links
}

// Kinds of answers: message type * 100 + status.
func kindOf(b []byte) int { return int(b[0])*100 + statusIn(b) }

func newFamilyTalk(t *testing.T) *familyTalk {
	f := feedSample(t, "active.enabled=true", "active.insecure=true", "active.idle_interval=1s")
	k := &familyTalk{talk: &talk{t: t, server: f.cluster.Nodes[1].LeasequeryTCP}, sample: f}
	for i := range f.leases {
		l := &f.leases[i]
		duid, err := hex.DecodeString(strings.ReplaceAll(l.duid, ":", ""))
		if err != nil {
			t.Fatal(err)
		}
		if !l.delegated && len(l.relayIDs) > 0 && linkOf(l.subnet) != "5" && string(duid) != string(k.ordinary) {
			k.ordinary, k.wanderer, k.address = duid, k.ordinary, l.prefix.Addr()
		}
	}
	if k.wanderer == nil {
		t.Fatal("the sample has no two clients behind relays")
	}
	k.feed(func(lines []string) []string { return append(lines, k.onAnotherLink(lines)) })
	return k
}

// feed feeds the lines of the sample's lease file anew, as change leaves them. What is missing then ends.
func (k *familyTalk) feed(change func(lines []string) []string) {
	k.t.Helper()
	b, err := os.ReadFile(sampleLeases)
	if err != nil {
		k.t.Fatal(err)
	}
	file := filepath.Join(k.t.TempDir(), "leases.csv")
	lines := change(strings.SplitAfter(strings.TrimSuffix(string(b), "\n")+"\n", "\n"))
	if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600); err != nil {
		k.t.Fatal(err)
	}
	job := keaJob{files: []string{file}, keaConfig: sampleConfig, once: true, shift: true, source: "kea", cluster: k.sample.cluster.GRPC(), quiet: true, out: io.Discard}
	if _, err := job.run(deadline(k.t, time.Minute)); err != nil {
		k.t.Fatal(err)
	}
}

// onAnotherLink is a lease of the wanderer on a link that it is not on.
func (k *familyTalk) onAnotherLink(lines []string) string {
	duid := shownOctets(k.wanderer)
	for i := len(lines) - 1; i > 0; i-- {
		if c := strings.Split(lines[i], ","); len(c) > 13 && c[1] == duid && c[6] == "0" && c[13] == "0" {
			c[0], c[4] = "2001:db8:1005::beef", "5"
			return strings.Join(c, ",")
		}
	}
	k.t.Fatalf("the sample has no lease of %s", duid)
	return ""
}

// everyThirdLess leaves every third line out, and not the header.
func everyThirdLess(lines []string) (less []string) {
	for i, l := range lines {
		if i%3 != 1 {
			less = append(less, l)
		}
	}
	return less
}

// run talks.
func (k *familyTalk) run() {
	k.overUDP()
	k.errorsOverTCP()
	k.changes()
	k.shutdown()
}

func (k *familyTalk) overUDP() {
	k.t.Helper()
	u := k.dial("udp")
	a := k.address.As16()
	byAddress := lqFor(1, "::", tv(5, a[:], make([]byte, 8)))
	byClient := lqFor(2, "::", tv(1, k.ordinary), tv(6, codesOf(47, 39)))
	odd := tv(65100, []byte("unknown"))
	for id, m := range [][]byte{
		asking(14, 1, familyID, byAddress), asking(14, 2, byClient, odd, familyID), // in any order, with what nobody knows
		asking(14, 3, tv(6, codesOf(100)), familyID, lqFor(2, "::", odd, tv(1, []byte("nobody")))),
		asking(14, 4, familyID, lqFor(3, "::")), asking(14, 5, familyID, lqFor(77, "::")),
		asking(14, 6, familyID, lqFor(1, "::")), asking(14, 7, familyID, lqFor(1, "2001:dead::", tv(5, a[:], make([]byte, 8)))),
	} {
		u.say(m)
		b := u.hear(15)
		if want := []int{1500, 1500, 1500, 1510, 1507, 1508, 1509}[id]; kindOf(b) != want {
			k.t.Errorf("over UDP, %x: %d, want %d", m, kindOf(b), want)
		}
		if server := firstOption(b, 2); id == 1 { // with the server's own id it is answered too
			u.say(asking(14, 8, tv(2, server), byClient, familyID))
			if again := u.hear(15); len(again) != len(b) {
				k.t.Errorf("with a server-id: %x, without: %x", again, b)
			}
		}
	}
	u.say(asking(14, 11, familyID, lqFor(2, "::", tv(1, k.wanderer))))
	if b := u.hear(15); len(firstOption(b, 48)) < 32 {
		k.t.Errorf("a client on several links: %x", b)
	}
	inner := tv(18, []byte("if"))
	outer := tv(18, []byte("ge-0"))
	port := append(outer[:len(outer):len(outer)], tv(135, codesOf(0))...)
	echoed := append(append(port[:len(port):len(port)], tv(37, u32(9), []byte("port"))...), tv(43, codesOf(37, 53))...)
	u.say(through(asking(14, 9, familyID, byAddress), inner, echoed))
	u.hear(13)
	u.say(through(asking(14, 10, familyID, lqFor(4, "::")), port))
	u.hear(13)
}

func firstOption(b []byte, code uint16) []byte {
	for _, o := range topOptions(b) {
		if o.code == code {
			return o.value
		}
	}
	return nil
}

func (k *familyTalk) errorsOverTCP() {
	k.t.Helper()
	c := k.dial("tcp")
	byLink := lqFor(4, "2001:db8:1000::1", tv(6, codesOf(47)))
	server := []byte(nil)
	for id, m := range [][]byte{
		asking(14, 20, familyID, lqFor(99, "::")), asking(14, 21, familyID, lqFor(4, "::")), asking(14, 22, familyID, lqFor(4, "2001:dead::")),
	} {
		c.say(m)
		b := c.hear(15)
		if want := []int{1507, 1508, 1509}[id]; kindOf(b) != want {
			k.t.Errorf("over TCP, %x: %d, want %d", m, kindOf(b), want)
		}
		server = firstOption(b, 2)
	}
	odd := tv(65100, []byte("unknown"))
	for _, m := range [][]byte{asking(14, 23, byLink, odd, familyID), asking(14, 24, tv(2, server), odd, familyID, byLink)} {
		if c.answer(m) == 0 {
			k.t.Errorf("no clients for %x", m)
		}
	}
	c.say(asking(23, 25))
	if b := c.hear(7); kindOf(b) != 715 {
		k.t.Errorf("STARTTLS: %x", b)
	}
	for id, m := range [][]byte{asking(22, 26, familyID, tv(102, u32(1))), asking(22, 27, familyID, lqFor(99, "::"))} {
		c := k.dial("tcp")
		c.say(m)
		b := c.hear(15)
		if want := []int{1508, 1507}[id]; kindOf(b) != want {
			k.t.Errorf("ACTIVELEASEQUERY, %x: %d, want %d", m, kindOf(b), want)
		}
	}
}

// changes subscribes, changes the leases, and asks in bulk what has changed.
func (k *familyTalk) changes() {
	k.t.Helper()
	c := k.dial("tcp")
	c.say(asking(14, 30, familyID, tv(6, codesOf(100)), lqFor(2, "::", tv(1, []byte("nobody")))))
	base := firstOption(c.hear(15), 100)
	if len(base) != 4 {
		k.t.Fatalf("base time %x", base)
	}
	live, behind, late := k.dial("tcp"), k.dial("tcp"), k.dial("tcp")
	oro := tv(6, codesOf(47, 39))
	live.say(asking(22, 31, oro, tv(65100), familyID))
	live.hear(15)
	late.say(asking(22, 32, familyID, lqFor(4, "2001:db8:1000::1"), tv(101, u32(1<<30))))
	if b := late.hear(15); kindOf(b) != 1512 {
		k.t.Errorf("a start time far ahead: %x", b)
	}
	k.feed(everyThirdLess)
	end := func(b []byte) bool {
		for _, o := range tlvs(firstOption(b, 45)) {
			if o.code == 5 && len(o.value) == 24 && string(o.value[16:24]) == string(make([]byte, 8)) {
				return true
			}
		}
		return false
	}
	live.hearUntil("an end", end)
	live.hearUntil("an idle message", func(b []byte) bool { return firstOption(b, 45) == nil && statusIn(b) == 0 })
	behind.say(asking(22, 33, tv(101, base), familyID, oro))
	behind.hear(15)
	behind.hearUntil("CatchUpComplete", func(b []byte) bool { return statusIn(b) == 13 })
	if n := c.answer(asking(14, 34, tv(101, base), familyID, tv(102, u32(1<<31-1)), lqFor(4, "2001:db8:1000::1", tv(6, codesOf(47, 100))))); n == 0 {
		k.t.Error("no clients in bulk with times")
	}
}

// shutdown stops the node that is asked, under a subscription, and starts it again.
func (k *familyTalk) shutdown() {
	k.t.Helper()
	c := k.dial("tcp")
	c.say(asking(22, 40, familyID, lqFor(4, "2001:db8:1000::1")))
	c.hear(15)
	node := k.sample.cluster.Nodes[1]
	if err := node.Stop(time.Minute); err != nil {
		k.t.Fatal(err)
	}
	for b := c.next(); ; b = c.next() { // idle messages first
		if kindOf(b) == 1611 && len(firstOption(b, 100)) == 4 {
			break
		}
		if kindOf(b) != 1700 {
			k.t.Fatalf("at shutdown: %x", b)
		}
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		k.t.Errorf("behind the last message: %v", err)
	}
	if err := node.Start(); err != nil {
		k.t.Fatal(err)
	}
	if err := node.AwaitReady(deadline(k.t, time.Minute)); err != nil {
		k.t.Fatal(err)
	}
}

// requireEverything checks that everything that the family says was said.
func (k *familyTalk) requireEverything(t *testing.T) {
	t.Helper()
	found := map[string]int{}
	for _, s := range k.all {
		found[fmt.Sprintf("%v %d", s.udp, kindOf(s.octets))]++
	}
	for _, want := range []string{
		"true 1500", "true 1507", "true 1508", "true 1509", "true 1510", "true 1300",
		"false 1500", "false 1507", "false 1508", "false 1509", "false 1512", "false 1600", "false 1611", "false 1700", "false 1713", "false 715",
	} {
		if found[want] == 0 {
			t.Errorf("nothing of %q was said", want)
		}
	}
	t.Logf("messages by transport, type and status: %v", found)
}

// TestFamilyReadByTshark has tshark read a capture of it all. It complains about nothing but its own defects, and finds in every
// message what was said. What is in relay data, which it takes for text, it is given once more as messages of their own.
func TestFamilyReadByTshark(t *testing.T) {
	requireTshark(t)
	k := newFamilyTalk(t)
	file := capture(t, k.server, k.run)
	k.requireEverything(t)
	port := netip.MustParseAddrPort(k.server).Port()
	messages, complaints := dissect(t, file, port)
	requireNoComplaint(t, complaints)
	byTalk := map[string][]map[string][]string{}
	for _, m := range messages {
		if m.kind == 12 || m.kind == 14 || m.kind == 22 || m.kind == 23 {
			continue // what was asked
		}
		id := "tcp " + m.first("dhcpv6.bulk_leasequery.trans_id")
		if m.udp {
			id = "udp " + m.first("dhcpv6.xid")
		}
		byTalk[id] = append(byTalk[id], m.fields)
	}
	chains := map[string]bool{}
	for _, s := range k.all {
		want, id := map[string][]string{}, fmt.Sprintf("tcp %d", int(s.octets[2])<<8|int(s.octets[3]))
		if s.udp {
			shownMessage(want, s.octets, "dhcpv6.msgtype", chains)
			id = "udp " + want["dhcpv6.xid"][0]
		} else {
			shownMessage(want, s.octets, "dhcpv6.bulk_leasequery.msgtype", chains)
			delete(want, "dhcpv6.xid")
		}
		if len(byTalk[id]) == 0 {
			t.Fatalf("tshark does not find %x", s.octets)
		}
		if d := diffFields(want, byTalk[id][0]); d != "" {
			t.Errorf("%s: %x (-said +tshark):\n%s", id, s.octets, d)
		}
		if byTalk[id] = byTalk[id][1:]; len(byTalk[id]) == 0 {
			delete(byTalk, id)
		}
	}
	for id := range byTalk {
		if !slices.Contains([]string{"tcp 31", "tcp 32", "tcp 33"}, id) { // subscriptions, which went on while nobody listened
			t.Errorf("tshark finds more of %s than was said", id)
		}
	}
	requireChains(t, port, chains)
}

// requireChains has tshark read what relay data held.
func requireChains(t *testing.T, port uint16, chains map[string]bool) {
	t.Helper()
	if len(chains) < 3 {
		t.Errorf("only %d relay chains were told of", len(chains))
	}
	var all [][]byte
	for c := range chains {
		all = append(all, []byte(c))
	}
	messages, complaints := dissect(t, writeDatagrams(t, port, all...), port)
	requireNoComplaint(t, complaints)
	for i, m := range messages {
		want := map[string][]string{}
		shownMessage(want, all[i], "dhcpv6.msgtype", chains)
		if d := diffFields(want, m.fields); d != "" {
			t.Errorf("relay data %x (-said +tshark):\n%s", all[i], d)
		}
	}
	if len(messages) != len(all) {
		t.Errorf("tshark finds %d chains of %d", len(messages), len(all))
	}
}

func requireNoComplaint(t *testing.T, complaints []complaint) {
	t.Helper()
	for _, c := range complaints {
		if c.defect == "" {
			t.Errorf("tshark complains: %s", c.text)
		}
	}
}

// diffFields compares the fields that are expected.
func diffFields(want, got map[string][]string) string {
	few := map[string][]string{}
	for name := range want {
		few[name] = got[name]
	}
	return cmp.Diff(want, few)
}
