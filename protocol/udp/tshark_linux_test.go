package udp

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// Defects of the dissector (tshark 4.0) on correct messages, by what it says then. Nothing else that it complains about is allowed.
const (
	defectRelayData  = "Trailing stray characters"                               // of OPTION_LQ_RELAY_DATA, whose message it reads as text
	defectTypesByUDP = "LQ-QUERY: Query types only supported by Bulk Leasequery" // they are to be answered, with NotAllowed
	defectFQDN       = "This message type is not permitted to use OPTION_CLIENT_FQDN"
)

// TestDissected captures what passes between a relay and a server, all kinds of it, and has tshark read it.
func TestDissected(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not installed (Debian package tshark)")
	}
	lab := netlab.New(t)
	server, relay := lab.Host("server"), lab.Host("relay")
	w := house(t)
	large := manyLeases(t, w, "\x00\x01client-c", 0x3000, 300)
	serveAt(t, server, w, Config{})
	c := wireOn(t, relay, "[::]:547", server.AddrPort(547))
	passing := sniff(t, relay, netlab.Interface)
	port := opt(optRelayPort, u16(0))
	packets, fields := 0, map[string]int{}
	for _, x := range []struct {
		query, answer []byte
		messages      []string // as tshark counts them, outermost first: of the answer
	}{
		{ask(1, byAddress("::", "2001:db8:1::a")), answer(1, clientAOn1), []string{"15"}},
		{ask(2, byClientID("::", clientB)), answer(2, clientBOn1), []string{"15"}},
		{ask(3, byClientID("::", clientA)), answer(3, opt(optClientLink, addr("2001:db8:1::"), addr("2001:db8:2::"))), []string{"15"}},
		{ask(4, lq(9, "::")), refusal(4, stUnknownQueryType, "query type 9 is unknown"), []string{"15"}},
		{ask(5, byAddress("2001:db8:9::", "2001:db8:1::a")), refusal(5, stNotConfigured, "no link has the link-address 2001:db8:9::"), []string{"15"}},
		{ask(6, lq(qAddress, "::")), refusal(6, stMalformed, "QUERY_BY_ADDRESS with 0 OPTION_IAADDR"), []string{"15"}},
		{ask(7, lq(qRelayID, "::", opt(optRelayID, []byte("\x00\x09r")))), refusal(7, stNotAllowed, "QUERY_BY_RELAY_ID needs TCP"), []string{"15"}},
		{ask(8, byClientID("::", "\x00\x01client-z")), answer(8), []string{"15"}},
		{ask(9, byClientID("::", "\x00\x01client-c")), answer(9, client("\x00\x01client-c", 100, large)), []string{"15"}},
	} {
		for levels := range 4 {
			forw, repl := nested(x.query, x.answer, levels)
			c.exchange(forw, repl)
			packets += 2
			fields["15"]++
			fields["13"] += levels
		}
		c.exchange(relayed(msgRelayForw, 0, relay1, "fe80::1", x.query, port, opt(optERO, codes(optRemoteID)), opt(optRemoteID, u32(9), []byte("x"))),
			relayed(msgRelayRepl, 0, relay1, "fe80::1", x.answer, port, opt(optRemoteID, u32(9), []byte("x"))))
		packets += 2
		fields["15"]++
		fields["13"]++
	}
	chained := ask(10, byAddress("::", "2001:db8:1::a", opt(optORO, codes(optRelayData, optFQDN))))
	c.send(chained)
	c.next()
	packets += 2
	fields["15"]++
	passing.drain()
	file := filepath.Join(t.TempDir(), "udp.pcap")
	passing.write(file)

	seen := map[string]int{}
	for _, line := range tshark(t, file, "-Y", "dhcpv6", "-T", "fields", "-e", "dhcpv6.msgtype") {
		packets--
		for _, kind := range strings.Split(line, ",") {
			if kind == "13" || kind == "15" {
				seen[kind]++
			}
		}
	}
	if diff := cmp.Diff(fields, seen); diff != "" || packets != 0 {
		t.Errorf("%d messages missing; types of answers (-want +tshark):\n%s", packets, diff)
	}
	defects := map[string]bool{}
	for _, line := range tshark(t, file, "-Y", "_ws.expert || _ws.malformed", "-T", "fields", "-e", "frame.number", "-e", "dhcpv6.msgtype", "-e", "_ws.expert.message", "-E", "aggregator=|") {
		columns := strings.Split(line, "\t")
		for _, says := range strings.Split(columns[len(columns)-1], "|") {
			switch {
			case says == defectTypesByUDP && strings.HasSuffix(columns[1], "14"), says == defectRelayData, says == defectFQDN:
				defects[says] = true
			case says != "":
				t.Errorf("tshark complains about frame %s, messages %s: %s", columns[0], columns[1], says)
			}
		}
	}
	t.Logf("defects of tshark seen: %v", defects)
}

// tshark is what it prints about a capture, by line.
func tshark(t *testing.T, file string, args ...string) (lines []string) {
	t.Helper()
	var errs strings.Builder
	cmd := exec.Command("tshark", append([]string{"-r", file}, args...)...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, errs.String())
	}
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.TrimRight(line, "\n"))
	}
	return lines
}
