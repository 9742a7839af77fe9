package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// TestDissectorDefects proves that tshark complains about messages that are right, and what it says then.
func TestDissectorDefects(t *testing.T) {
	requireTshark(t)
	const port = 5470
	done := []byte{
		0, 4, // message length (RFC 5460 5.1)
		16, 0, 0, 1, // LEASEQUERY-DONE, transaction-id; a status is there only after an error (5.2.2)
	}
	relayed := []byte{
		0, 62, // message length
		17, 0, 0, 1, // LEASEQUERY-DATA, transaction-id
		0, 45, 0, 54, // OPTION_CLIENT_DATA
		0, 47, 0, 50, // OPTION_LQ_RELAY_DATA (RFC 5007 4.1.2.4)
		0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // peer-address
		12, 0, // RELAY-FORW, hop-count (RFC 8415 9)
		0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, // link-address
		0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, // peer-address
	}
	active := []byte{
		0, 12, // message length
		22, 0, 0, 1, // ACTIVELEASEQUERY, transaction-id (RFC 7653 6.2.1)
		0, 101, 0, 4, 0, 0, 0, 1, // OPTION_LQ_START_TIME
	}
	startTLS := []byte{
		0, 4, // message length
		23, 0, 0, 1, // STARTTLS, transaction-id (RFC 7653 6.2.2)
	}
	reply := []byte{
		0, 10, // message length
		7, 0, 0, 1, // REPLY, transaction-id (RFC 7653 8.2)
		0, 13, 0, 2, 0, 15, // OPTION_STATUS_CODE: TLSConnectionRefused
	}
	byRelay := []byte{
		14, 0, 0, 1, // LEASEQUERY, transaction-id: over UDP
		0, 44, 0, 17, 3, // OPTION_LQ_QUERY: QUERY_BY_RELAY_ID
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // link-address
	}
	named := []byte{
		0, 16, // message length
		17, 0, 0, 1, // LEASEQUERY-DATA, transaction-id
		0, 45, 0, 8, // OPTION_CLIENT_DATA
		0, 39, 0, 4, 1, 1, 'a', 0, // OPTION_CLIENT_FQDN (RFC 4704 4)
	}
	for _, proof := range []struct {
		defect, capture string
	}{
		{defectEmptyDone, writeCapture(t, port, done)}, {defectRelayData, writeCapture(t, port, relayed)},
		{defectActiveTypes, writeCapture(t, port, active)}, {defectActiveTypes, writeCapture(t, port, startTLS)}, {defectActiveTypes, writeCapture(t, port, reply)},
		{defectTypesByUDP, writeDatagrams(t, port, byRelay)}, {defectFQDN, writeCapture(t, port, named)},
	} {
		_, complaints := dissect(t, proof.capture, port)
		if !slices.ContainsFunc(complaints, func(c complaint) bool { return c.defect == proof.defect }) ||
			slices.ContainsFunc(complaints, func(c complaint) bool { return c.defect == "" }) {
			t.Errorf("tshark complains %+v; expected: %s", complaints, proof.defect)
		}
	}
	wrong := []byte{
		0, 22, // message length
		17, 0, 0, 1, // LEASEQUERY-DATA, transaction-id
		0, 45, 0, 14, // OPTION_CLIENT_DATA
		0, 5, 0, 10, // OPTION_IAADDR of 10 octets, which needs 24
		0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0,
	}
	if _, complaints := dissect(t, writeCapture(t, port, wrong), port); !slices.ContainsFunc(complaints, func(c complaint) bool { return c.defect == "" }) {
		t.Error("tshark does not complain about a message that is wrong")
	}
}

// capture has tshark write what goes over a server's loopback port, TCP and UDP, to a file while f runs.
func capture(t *testing.T, server string, f func()) (file string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("capturing needs root")
	}
	port := netip.MustParseAddrPort(server).Port()
	file = filepath.Join(t.TempDir(), "answers.pcap")
	// It prints the source port of each segment that it has written.
	cmd := exec.Command("tshark", "-i", "lo", "-B", "64", "-l", "-P", "-T", "fields", "-e", "tcp.srcport", "-f", fmt.Sprintf("port %d", port), "-w", file)
	says, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	segments, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() }) // if it still runs
	await := func(lines io.Reader, what string) <-chan string {
		found := make(chan string, 1)
		go func() {
			for s := bufio.NewScanner(lines); s.Scan(); {
				if strings.Contains(s.Text(), what) {
					select {
					case found <- s.Text():
					default:
					}
				}
			}
			close(found)
		}()
		return found
	}
	requireSeen := func(found <-chan string, what string) {
		t.Helper()
		select {
		case _, ok := <-found:
			if !ok {
				t.Fatalf("tshark ended before it saw %s", what)
			}
		case <-time.After(time.Minute):
			t.Fatalf("tshark did not see %s", what)
		}
	}
	requireSeen(await(says, "Capture started"), "its start")
	f()
	// Segments come in order: when a connection made now is in the file, so is everything before it.
	last, err := net.Dial("tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	_, mark, _ := net.SplitHostPort(last.LocalAddr().String())
	last.Close()
	requireSeen(await(segments, mark), "the last connection")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("tshark: %v", err)
	}
	return file
}

// TestDissectedAnswersEqualTheLeaseFile captures the answers about every link and one of each other type, and has tshark read
// them: it complains about nothing but its own defects, and finds what the lease file says.
func TestDissectedAnswersEqualTheLeaseFile(t *testing.T) {
	requireTshark(t)
	f := feedSample(t, "relay_data=always")
	node := f.cluster.Nodes[1]
	port := netip.MustParseAddrPort(node.LeasequeryTCP).Port()
	queries := demoQueries()
	wantDone := 0
	file := capture(t, node.LeasequeryTCP, func() {
		for _, a := range linkAddresses() {
			if collect(t, node.LeasequeryTCP, requestor.Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: a}, map[string]seenLease{}) > 0 {
				wantDone++
			}
		}
		for _, q := range queries {
			collect(t, node.LeasequeryTCP, q, map[string]seenLease{})
			wantDone++
		}
	})
	messages, complaints := dissect(t, file, port)
	for _, c := range complaints {
		if c.defect == "" {
			t.Errorf("tshark complains: %s", c.text)
		}
	}
	found := map[string]bool{}
	kinds := map[int]int{}
	for _, m := range messages {
		kinds[m.kind]++
		for _, a := range m.fields["dhcpv6.iaaddr.ip"] {
			if m.kind != 14 {
				found[a] = true
			}
		}
		for i, p := range m.fields["dhcpv6.iaprefix.pref_addr"] {
			found[p+"/"+m.fields["dhcpv6.iaprefix.pref_len"][i]] = true
		}
		if n := len(m.fields["dhcpv6.clt_time"]); (m.kind == 15 || m.kind == 17) && n > 1 {
			t.Errorf("a message tells of %d clients", n)
		}
	}
	want := map[string]bool{}
	for i := range f.leases {
		want[f.leases[i].key()] = true
	}
	if d := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(found))); d != "" {
		t.Errorf("(-file +tshark):\n%s", d)
	}
	if asked := len(linkAddresses()) + len(queries); kinds[14] != asked || kinds[15] != asked || kinds[16] != wantDone {
		t.Errorf("tshark finds %d queries, %d replies and %d ends; want %d, %d and %d", kinds[14], kinds[15], kinds[16], asked, asked, wantDone)
	}
}
