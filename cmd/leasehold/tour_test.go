package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tourHead is what stands before the tour: nothing is left running, whatever happens.
const tourHead = `set -eu
trap 'kill $(jobs -p) 2>/dev/null || :; wait' EXIT
trap 'exit 1' TERM
await() {
	for i in $(seq 600); do
		if "$@"; then return; fi
		sleep 0.1
	done
	echo "gave up waiting: $*" >&2
	exit 1
}
later() { [ "$(date +%s)" -gt "$1" ]; }
`

// tourScript is the tour of the README as a script, whose parts are set apart by lines of their own. Between them stands what a reader
// waits for.
func tourScript(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tour, found := strings.Cut(string(text), "\n## Five minutes\n")
	tour, _, ended := strings.Cut(tour, "\n## ")
	parts := strings.Split(tour, "```\n")
	if !found || !ended || len(parts) != 11 {
		t.Fatalf("the tour of the README has %d pieces of text and commands, want 11", len(parts))
	}
	awaited := []string{
		"await test -s /tmp/leasehold/cluster.json\n", "",
		"await later $(date +%s)\n", // times are replayed by the second
		"",
		"await grep -q terminated /tmp/leasehold/changes\nawait bin/leasehold query address 2001:db8:1000::1001 --server $LQ\n",
	}
	var b strings.Builder
	b.WriteString(tourHead)
	for i, wait := range awaited {
		part := strings.Replace(parts[2*i+1], "tail -3", "await grep -q catch-up-complete /tmp/leasehold/changes\ntail -3", 1)
		b.WriteString("echo == part\n" + part + wait)
	}
	_, stop, found := strings.Cut(parts[10], "Stop it all with `")
	stop, _, ended = strings.Cut(stop, "`")
	if !found || !ended {
		t.Fatal("the tour of the README does not say how to stop it all")
	}
	b.WriteString(stop + "\nwait %1\n")
	return strings.NewReplacer("make build\n", "", "bin/leasehold", builtBinary(t), "/tmp/leasehold-tls", filepath.Join(dir, "tls"),
		"/tmp/leasehold", filepath.Join(dir, "dev")).Replace(b.String())
}

// TestTourOfTheReadme does to the letter what the README says: three nodes, fed, asked over TCP, inside TLS and over UDP, followed, one
// of them killed and brought back, and all of them stopped.
func TestTourOfTheReadme(t *testing.T) {
	cmd := exec.CommandContext(deadline(t, 2*time.Minute), "bash", "-c", tourScript(t, t.TempDir()))
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = "../..", &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Run(); err != nil {
		t.Fatalf("the tour: %v\n%s", err, out.String())
	}
	said := strings.Split(out.String(), "== part\n")
	for i, want := range []struct {
		text  string
		times int
	}{
		{}, {"certificate: node.pem", 1}, {"kea-a", 1}, {"address 2001:db8:1000::1001 ", 3}, {"520 changed", 1}, {"address 2001:db8:1000::1001 ", 2},
	} {
		if i >= len(said) || strings.Count(said[i], want.text) < want.times {
			t.Errorf("part %d does not say %q %d times:\n%s", i, want.text, want.times, out.String())
		}
	}
	if !strings.Contains(said[4], "catch-up-complete") && !strings.Contains(said[4], "  address 2001:db8:100") {
		t.Errorf("no change was seen:\n%s", said[4])
	}
	if n := strings.Count(out.String(), "leasehold: following "); n != 2 {
		t.Errorf("%d servers were followed, want one after another:\n%s", n, out.String())
	}
}
