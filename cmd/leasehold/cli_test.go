package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// leasehold runs the built program and returns its exit status and what it printed.
func leasehold(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(deadline(t, time.Minute), builtBinary(t), args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("leasehold %v: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// devCluster is what cluster.json holds.
type devCluster struct {
	Nodes []struct {
		ID            string
		Name          string
		PID           int
		Config        string
		LeasequeryTCP string `json:"leasequery_tcp"`
		LeasequeryUDP string `json:"leasequery_udp"`
		GRPC, HTTP    string
	}
}

func (d *devCluster) list(of func(i int) string) string {
	var out []string
	for i := range d.Nodes {
		out = append(out, of(i))
	}
	return strings.Join(out, ",")
}

// startDev runs `leasehold dev` and waits for its cluster.json.
func startDev(t *testing.T, args ...string) (dev devCluster, process *exec.Cmd) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "dev")
	var out bytes.Buffer
	cmd := exec.Command(builtBinary(t), append([]string{"dev", "--data-dir", dir}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // ends the nodes, too; if it has ended, nothing
		if err := cmd.Wait(); err != nil && !strings.Contains(err.Error(), "Wait was already called") {
			t.Errorf("leasehold dev: %v\n%s", err, out.String())
		}
	})
	file := filepath.Join(dir, "cluster.json")
	until(t, deadline(t, time.Minute), "cluster.json is there", func() bool {
		_, err := os.Stat(file)
		return err == nil
	})
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &dev); err != nil {
		t.Fatalf("cluster.json: %v\n%s", err, b)
	}
	return dev, cmd
}

func TestDevServesWhatItWasFed(t *testing.T) {
	dev, process := startDev(t, "--nodes", "3", "--kea-leases", sampleLeases, "--set", "bulk.max_connections=50")
	if len(dev.Nodes) != 3 {
		t.Fatalf("%d nodes in cluster.json, want 3", len(dev.Nodes))
	}
	for _, n := range dev.Nodes {
		if len(n.ID) != 36 || n.PID == 0 || n.Name == "" {
			t.Errorf("cluster.json: %+v", n)
		}
		if a, err := netip.ParseAddrPort(n.LeasequeryTCP); err != nil || a.Addr() != netip.IPv6Loopback() || n.LeasequeryUDP != n.LeasequeryTCP {
			t.Errorf("cluster.json: leasequery at %q and %q", n.LeasequeryTCP, n.LeasequeryUDP)
		}
		if b, err := os.ReadFile(n.Config); err != nil || !bytes.Contains(b, []byte("50")) {
			t.Errorf("configuration %q: %v, or it lacks what --set said", n.Config, err)
		}
	}
	servers := dev.list(func(i int) string { return dev.Nodes[i].LeasequeryTCP })
	grpc := dev.list(func(i int) string { return dev.Nodes[i].GRPC })
	checkQueries(t, servers)
	checkAdministration(t, grpc)
	if err := syscall.Kill(dev.Nodes[0].PID, syscall.SIGKILL); err != nil { // a process of dev's, which this test began
		t.Fatal(err)
	}
	if status, out, errs := leasehold(t, "query", "address", "2001:db8:1000::1001", "--server", servers); status != 0 || !strings.Contains(out, "2001:db8:1000::1001") {
		t.Errorf("after a node was killed: status %d, %s%s", status, out, errs)
	}
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, deadline(t, time.Minute), "the nodes are gone", func() bool {
		for _, n := range dev.Nodes {
			if syscall.Kill(n.PID, 0) == nil {
				return false
			}
		}
		return true
	})
}

func checkQueries(t *testing.T, servers string) {
	t.Helper()
	status, out, errs := leasehold(t, "query", "address", "2001:db8:1000::1001", "--relay-data", "--json", "--server", servers)
	var c struct {
		DUID      string
		Addresses []struct {
			Address          string
			Preferred, Valid uint32
		}
		Prefixes []struct{ Prefix string }
		Relay    struct {
			Levels []struct{ Link string }
		}
	}
	if err := json.Unmarshal([]byte(out), &c); status != 0 || err != nil {
		t.Fatalf("status %d, %v: %s%s", status, err, out, errs)
	}
	if len(c.Addresses) != 1 || c.Addresses[0].Address != "2001:db8:1000::1001" || c.Addresses[0].Valid == 0 || len(c.Prefixes) != 1 ||
		c.Prefixes[0].Prefix != "2001:db8:a100::/56" || len(c.Relay.Levels) != 1 || c.Relay.Levels[0].Link != "2001:db8:1000::1" {
		t.Errorf("got %s", out)
	}
	for _, tc := range []struct {
		status int
		errs   string
		args   []string
	}{
		{3, "nothing found", []string{"client-id", "000300010203040506aa"}},
		{3, "nothing found", []string{"relay-id", "0102"}},
		{4, "NotConfigured", []string{"address", "2001:db8:eeee::1"}},
		{4, "NotConfigured", []string{"relay-id", "000200007ed9626e672d612d3031", "--link", "2001:db8:eeee::1"}},
		{1, "not an IPv6 address", []string{"address", "192.0.2.1"}},
		{1, "want ENTERPRISE:HEX", []string{"remote-id", "6f6c74"}},
		{1, "query type", []string{"mac", "00"}},
		{1, "connection refused", []string{"address", "2001:db8::1", "--rounds", "1", "--server", "[::1]:1"}},
	} {
		args := append([]string{"query", "--server", servers}, tc.args...)
		if status, out, errs := leasehold(t, args...); status != tc.status || !strings.Contains(errs, tc.errs) {
			t.Errorf("%v: status %d, want %d; printed %q and %q, want %q", tc.args, status, tc.status, out, errs, tc.errs)
		}
	}
}

func checkAdministration(t *testing.T, grpc string) {
	t.Helper()
	var status struct {
		Leader string
		Nodes  []struct {
			Name, State     string
			Voter, Ready    bool
			Bindings        uint64
			AppliedIndex    uint64 `json:"applied_index"`
			FreshMS         *int64 `json:"fresh_ms"`
			StateHashString string `json:"state_hash"`
		}
	}
	defer func() {
		if t.Failed() {
			t.Logf("status: %+v", status)
		}
	}()
	until(t, deadline(t, time.Minute), "all nodes are well and have one state", func() bool { // a majority had it when it was fed
		requireJSON(t, &status, "status", "--json", "--state-hash", "--cluster", grpc)
		for _, n := range status.Nodes {
			if !n.Voter || !n.Ready || n.AppliedIndex == 0 || n.FreshMS == nil || n.Bindings < 400 || n.StateHashString == "" ||
				n.StateHashString != status.Nodes[0].StateHashString {
				return false
			}
		}
		return status.Leader != "" && len(status.Nodes) == 3
	})
	var sources struct{ Sources []struct{ Name string } }
	if requireJSON(t, &sources, "sources", "--json", "--cluster", grpc); len(sources.Sources) != 1 || sources.Sources[0].Name != "dev" {
		t.Errorf("sources: %+v", sources)
	}
	var members struct{ Members []struct{ Gossip string } }
	if requireJSON(t, &members, "members", "--json", "--cluster", grpc); len(members.Members) != 3 {
		t.Errorf("members: %+v", members)
	}
	_, out, errs := leasehold(t, "bindings", "--json", "--cluster", grpc, "--address", "2001:db8:1000::1001")
	var b struct {
		Address, DUID, State, Source string
		LastTransaction              int64 `json:"last_transaction"`
	}
	if err := json.Unmarshal([]byte(out), &b); err != nil || b.Address != "2001:db8:1000::1001" || b.State != "active" || b.Source != "dev" || b.LastTransaction == 0 {
		t.Errorf("bindings: %v: %s%s", err, out, errs)
	}
	if code, out, errs := leasehold(t, "transfer-leadership", "--cluster", grpc); code != 0 {
		t.Errorf("transfer-leadership: %s%s", out, errs)
	}
}

func requireJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	code, out, errs := leasehold(t, args...)
	if err := json.Unmarshal([]byte(out), into); code != 0 || err != nil {
		t.Fatalf("leasehold %v: status %d, %v: %s%s", args, code, err, out, errs)
	}
}

func TestConfigCheckTellsEverythingAtOnce(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	_, reference, _ := leasehold(t, "config", "reference")
	if err := errors.Join(os.WriteFile(good, []byte(reference), 0o644), os.WriteFile(bad, []byte("nmae: x\nbulk:\n  max_connections: many\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if status, out, errs := leasehold(t, "config", "check", good); status != 0 {
		t.Errorf("the reference is refused: %s%s", out, errs)
	}
	if status, _, errs := leasehold(t, "config", "check", bad); status != 1 || !strings.Contains(errs, "line 1") || !strings.Contains(errs, "line 3") {
		t.Errorf("status %d, %q; want both errors with their lines", status, errs)
	}
	if status, _, errs := leasehold(t, "server", "--config", bad); status != 1 || !strings.Contains(errs, "line 3") {
		t.Errorf("server: status %d, %q", status, errs)
	}
}

func TestManualPages(t *testing.T) {
	dir := t.TempDir()
	if status, _, errs := leasehold(t, "man", dir); status != 0 {
		t.Fatal(errs)
	}
	for _, page := range []string{"leasehold.1", "leasehold-query.1", "leasehold-feed-kea.1"} {
		if _, err := os.Stat(filepath.Join(dir, page)); err != nil {
			t.Error(err)
		}
	}
	if status, out, _ := leasehold(t, "completion", "bash"); status != 0 || !strings.Contains(out, "leasehold") {
		t.Errorf("no completions: status %d", status)
	}
}
