package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// unreachable tells whether the go command failed because no module proxy could be reached.
func unreachable(out string) bool {
	for _, s := range []string{"dial tcp", "no such host", "i/o timeout", "connection refused", "TLS handshake", "proxyconnect"} {
		if strings.Contains(out, s) {
			return true
		}
	}
	return false
}

// goCommand runs the go command in a folder, and skips the test when it needs a module that cannot be fetched.
func goCommand(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(deadline(t, 10*time.Minute), "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && unreachable(string(out)):
		t.Skipf("the module proxy cannot be reached:\n%s", out)
	case err != nil:
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestIngestPageWorks runs the commands of docs/ingest.md as they stand there, with the nodes of a cluster in the place of its nodes.
func TestIngestPageWorks(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	if err := os.Symlink(builtBinary(t), filepath.Join(bin, "leasehold")); err != nil {
		t.Fatal(err)
	}
	goCommand(t, "../..", nil, "build", "-modfile=tools/grpcurl/go.mod", "-o", filepath.Join(bin, "grpcurl"), "github.com/fullstorydev/grpcurl/cmd/grpcurl")
	c := startCluster(t, 3)
	blocks := codeBlocks(t, "ingest.md", "sh")
	if len(blocks) != 3 {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	var out string
	for _, b := range blocks {
		b = strings.NewReplacer("192.0.2.1:5470", c.Nodes[0].GRPC, "192.0.2.2:5470", c.Nodes[1].GRPC).Replace(b)
		cmd := exec.CommandContext(deadline(t, time.Minute), "sh", "-e", "-c", b)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		got, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, b, got)
		}
		out = string(got)
	}
	for _, want := range []string{"fixed32 iaid = 5;", `"maxBytesInFlight"`, `"sequence": "3"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in what grpcurl printed:\n%s", want, out)
		}
	}
	got := shown(t, c.Nodes[2], "bindings")
	if len(got) != 2 || !strings.Contains(got[0], `"address":"2001:db8:1000::1"`) || !strings.Contains(got[1], `"prefix":"2001:db8:8000::/56"`) {
		t.Errorf("bindings: %q", got)
	}
	if status, text, _ := leasehold(t, "query", "remote-id", "32473:6f6c74", "--server", c.Nodes[2].LeasequeryTCP); status != 0 || !strings.Contains(text, "2001:db8:1000::1") {
		t.Errorf("by remote-id: status %d, %s", status, text)
	}
	if links := shown(t, c.Nodes[2], "links"); !strings.Contains(strings.Join(links, "\n"), "ipam/vlan7") {
		t.Errorf("links: %q", links)
	}
}

// TestFeederExample wants docs/ingest.md to show deploy/examples/feeder as it is, and runs it.
func TestFeederExample(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../deploy/examples/feeder/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if blocks := codeBlocks(t, "ingest.md", "go"); len(blocks) != 1 || blocks[0] != string(source) {
		t.Error("the program in docs/ingest.md is not deploy/examples/feeder/main.go")
	}
	binary := filepath.Join(t.TempDir(), "feeder")
	goCommand(t, "../../deploy/examples/feeder", nil, "build", "-o", binary, ".")
	c := startCluster(t, 1)
	out, err := exec.CommandContext(deadline(t, time.Minute), binary, c.Nodes[0].GRPC).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "the lease is in the cluster") {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := shown(t, c.Nodes[0], "bindings", "--source", "example"); len(got) != 1 || !strings.Contains(got[0], `"address":"2001:db8:1000::1"`) {
		t.Errorf("bindings: %q", got)
	}
}

// TestCoredhcpExample builds, vets and tests deploy/examples/coredhcp, a module of its own, and lets its coredhcp feed a cluster. It is
// done in a copy, in which the go command may follow what this module requires.
func TestCoredhcpExample(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "deploy/examples/coredhcp"))); err != nil {
		t.Fatal(err)
	}
	env := []string{"LEASEHOLD_CLUSTER=" + strings.Join(c.GRPC(), ","), "GOFLAGS=-mod=mod"}
	goCommand(t, dir, env, "mod", "edit", "-replace", "github.com/leasehold/leasehold="+root)
	goCommand(t, dir, env, "build", "-o", t.TempDir(), "./...")
	goCommand(t, dir, env, "vet", "./...")
	out := goCommand(t, dir, env, "test", "-v", "./...")
	for _, test := range []string{"TestLeasesReachTheCluster", "TestLeasesReachTheClusterOverTLS"} {
		if !strings.Contains(out, "--- PASS: "+test+" (") {
			t.Errorf("coredhcp did not feed the cluster, %s:\n%s", test, out)
		}
	}
}
