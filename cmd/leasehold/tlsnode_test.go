package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// tlsNode is a node that wants TLS of everybody, with files that `leasehold tls` made.
type tlsNode struct {
	t    *testing.T
	dir  string
	node *laptop.Node
}

// path is a file of certificates.
func (n *tlsNode) path(name string) string { return filepath.Join(n.dir, name) }

// issue lets the built program make certificates.
func (n *tlsNode) issue(args ...string) {
	n.t.Helper()
	if status, out, errs := leasehold(n.t, append(append([]string{"tls"}, args...), "--dir", n.dir)...); status != 0 {
		n.t.Fatalf("leasehold tls %q: status %d\n%s%s", args, status, out, errs)
	}
}

// query asks for an address that the sample has, as somebody or in clear.
func (n *tlsNode) query(as string) (status int, out, errs string) {
	n.t.Helper()
	return leasehold(n.t, append([]string{"query", "address", "2001:db8:1000::1001", "--rounds", "1", "--server", n.node.LeasequeryTCP}, n.flags(as)...)...)
}

// flags are those to speak TLS as somebody, or none for clear.
func (n *tlsNode) flags(as string) []string {
	if as == "" {
		return nil
	}
	return []string{"--tls", "--tls-ca", n.path("ca.pem"), "--tls-cert", n.path(as + ".pem"), "--tls-key", n.path(as + ".key")}
}

// dial connects as bng-1 does.
func (n *tlsNode) dial() *tls.Conn {
	n.t.Helper()
	client, err := starttls.NewClient(starttls.ClientFiles{CA: n.path("ca.pem"), Certificate: n.path("bng-1.pem"), Key: n.path("bng-1.key")})
	if err != nil {
		n.t.Fatal(err)
	}
	socket, err := net.Dial("tcp", n.node.LeasequeryTCP)
	if err != nil {
		n.t.Fatal(err)
	}
	conn, err := requestor.StartTLS(deadline(n.t, time.Minute), socket, n.node.LeasequeryTCP, client)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	return conn.(*tls.Conn)
}

// shows is the serial number of the certificate that the node shows a new connection.
func (n *tlsNode) shows() string {
	n.t.Helper()
	conn := n.dial()
	defer conn.Close() // one that is kept would cost another its place
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// metricOf is the value of a sample in what a node exports, "" if it is not there.
func metricOf(t *testing.T, n *laptop.Node, name string) string {
	t.Helper()
	_, all := httpGet(deadline(t, time.Minute), n, "/metrics")
	for line := range strings.Lines(all) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// feedDev states the sample as `leasehold dev --kea-leases` does.
func feedDev(t *testing.T, cluster ...string) {
	t.Helper()
	job := keaJob{files: []string{sampleLeases}, once: true, shift: true, source: "dev", cluster: cluster, out: io.Discard, quiet: true}
	if _, err := job.run(deadline(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
}

// requireAnswers asks for one client on an open connection.
func requireAnswers(t *testing.T, open net.Conn) {
	t.Helper()
	ctx := deadline(t, time.Minute)
	c, err := requestor.Dial(ctx, "", requestor.Config{ClientID: newDUID(), Dial: func(context.Context, string) (net.Conn, error) { return open, nil }})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	q := requestor.Query{Type: dhcpv6.QueryByAddress, Address: netip.MustParseAddr("2001:db8:1000::1001")}
	if err := c.Query(ctx, q, func(*requestor.Client) error { found++; return nil }); err != nil || found != 1 {
		t.Errorf("on the connection that was open before: %d clients, %v", found, err)
	}
}

// TestTLSRequiredNode runs a node of the built program with tls.mode required: who may ask and subscribe, and that changed files count
// without a restart while connections go on.
func TestTLSRequiredNode(t *testing.T) {
	t.Parallel()
	n := &tlsNode{t: t, dir: t.TempDir()}
	n.issue("ca")
	n.issue("server", "::1", "node1.example", "--out", "node1")
	n.issue("requestor", "bng-1")
	n.issue("requestor", "bng-2")
	n.node = startCluster(t, 1, "tls.mode=required", "tls.certificate="+n.path("node1.pem"), "tls.key="+n.path("node1.key"),
		"tls.requestor_ca="+n.path("ca.pem"), "active.enabled=true", `requestors=[{name: bng, names: [bng-1]}]`).Nodes[0]
	feedDev(t, n.node.GRPC)
	if status, out, errs := n.query("bng-1"); status != 0 || !strings.Contains(out, "2001:db8:1000::1001") {
		t.Errorf("by TLS: status %d\n%s%s", status, out, errs)
	}
	for name, as := range map[string]string{"in clear": "", "by a name that no stanza has": "bng-2"} {
		if status, out, errs := n.query(as); status != 1 || out != "" {
			t.Errorf("%s: status %d\n%s%s", name, status, out, errs)
		}
	}
	w := startWatch(t, nil, []string{n.node.LeasequeryTCP}, append([]string{"link-address", watchedLink, "--full"}, n.flags("bng-1")...)...)
	w.until("catch-up-complete", func() bool {
		return len(w.events(kind("catch-up-complete"))) == 1 && len(w.events(kind("change"))) > 50
	})
	kept, before := n.dial(), certificateSerial(t, n.path("node1.pem"))
	if got := n.shows(); got != before {
		t.Errorf("the node shows certificate %s, its file has %s", got, before)
	}
	n.issue("server", "::1", "node1.example", "--out", "next")
	n.replaceOneFile()
	if err := os.Rename(n.path("next.key"), n.path("node1.key")); err != nil {
		t.Fatal(err)
	}
	after := certificateSerial(t, n.path("node1.pem"))
	until(t, deadline(t, time.Minute), "the node has looked at its files", func() bool { return metricOf(t, n.node, `leasehold_tls_reloads_total{result="ok"}`) == "1" })
	if got := n.shows(); got != after || after == before {
		t.Errorf("the node shows certificate %s after %s, its file has %s", got, before, after)
	}
	requireAnswers(t, kept)
	if ended := w.events(kind("terminated")); len(ended) > 0 {
		t.Errorf("the subscription that was open before: %+v", ended)
	}
	w.stop()
}

// replaceOneFile puts a new certificate in the place of the old one, before its key is there, and tells the node: it says so and goes on.
func (n *tlsNode) replaceOneFile() {
	t := n.t
	t.Helper()
	before := n.shows()
	if err := os.Rename(n.path("next.pem"), n.path("node1.pem")); err != nil {
		t.Fatal(err)
	}
	const failed = `leasehold_tls_reloads_total{result="failed"}`
	if err := n.node.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, deadline(t, time.Minute), "the failure is counted", func() bool { return metricOf(n.t, n.node, failed) == "1" })
	if got := n.shows(); got != before {
		t.Errorf("with a key that is another's the node shows %s, want %s as before", got, before)
	}
	until(t, deadline(t, time.Minute), "the log names the file", func() bool { // it is counted first
		log, err := n.node.Log()
		return err == nil && strings.Contains(log, n.path("node1.pem"))
	})
}
