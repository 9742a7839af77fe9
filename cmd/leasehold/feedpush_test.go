package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/fsm"
)

// pushed runs `leasehold feed push` with an input, and gives its exit status and what it printed.
func pushed(t *testing.T, c *laptop.Cluster, in string, args ...string) (status int, out, errs string) {
	t.Helper()
	cmd := exec.CommandContext(deadline(t, time.Minute), builtBinary(t), append([]string{"feed", "push", "--cluster", strings.Join(c.GRPC(), ",")}, args...)...)
	var stdout, stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// shown is the lines of a command with --json, of one node, sorted.
func shown(t *testing.T, n *laptop.Node, args ...string) []string {
	t.Helper()
	status, out, errs := leasehold(t, append(args, "--json", "--cluster", n.GRPC)...)
	if status != 0 {
		t.Fatalf("leasehold %q: status %d\n%s", args, status, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(lines)
	return slices.DeleteFunc(lines, func(s string) bool { return s == "" })
}

func pushLine(n int, more string) string {
	return fmt.Sprintf(`{"address":"2001:db8:1000::%x","duid":"00:03:00:01:02:00:00:00:00:%02x","iaid":1,"preferred":3600,"valid":7200%s}`+"\n", n, n, more)
}

// TestFeedPush feeds a real cluster with lines, good and bad, and as full statements, and copies what it has.
func TestFeedPush(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	at := time.Now().Add(-time.Minute).Unix()
	old := fmt.Sprintf(`,"last_transaction":%d`, at)
	in := pushLine(1, old) + pushLine(2, `,"vaild":1`) + "#\n" + pushLine(3, old) + `{"address":` + "\n" + pushLine(4, `,"iaid":-1`) + `{"prefix":"2001:db8:8000::/56","duid":"0003","iaid":7,"valid":4294967295}`
	status, out, errs := pushed(t, c, in, "--source", "script", "--ack")
	if status != exitLines || !strings.Contains(errs, "3 of 6 lines refused") || !strings.Contains(errs, "line=2 field=vaild") || !strings.Contains(errs, "line=6 field=iaid") {
		t.Errorf("status %d\n%s", status, errs)
	}
	want := []string{`{"refused":2,"field":"vaild","error":"bad line: unknown"}`, `{"acknowledged":7}`}
	for _, w := range want {
		if !strings.Contains(out, w+"\n") {
			t.Errorf("no line %s in\n%s", w, out)
		}
	}
	first := shown(t, c.Nodes[1], "bindings")
	if len(first) != 3 || !strings.Contains(first[0], fmt.Sprintf(`"last_transaction":%d`, at)) || !strings.Contains(first[2], `"prefix":"2001:db8:8000::/56"`) {
		t.Errorf("bindings:\n%s", strings.Join(first, "\n"))
	}

	// What is printed can be read back, and changes nothing. Under another name it is no conflict.
	if status, _, errs := pushed(t, c, strings.Join(first, "\n"), "--source", "copy", "--resync"); status != 0 {
		t.Errorf("copy: status %d\n%s", status, errs)
	}
	if got := shown(t, c.Nodes[2], "bindings", "--conflicts"); len(got) != 0 {
		t.Errorf("the same under two names conflicts: %q", got)
	}

	// A full statement removes what it has not, unless a line in it was refused.
	if status, _, errs := pushed(t, c, pushLine(1, old)+"{}\n", "--source", "script", "--resync"); status != exitLines || !strings.Contains(errs, "nothing was removed") {
		t.Errorf("full statement with a bad line: status %d\n%s", status, errs)
	}
	if got := shown(t, c.Nodes[0], "bindings"); len(got) != 3 {
		t.Errorf("it removed something: %q", got)
	}
	everything := func() bool { return len(shown(t, c.Nodes[0], "bindings", "--source", "script")) == 1 }
	// The lease is of now: times travel as ages, and what was long under way may be taken for a second newer, and so be the copy's.
	if status, _, errs := pushed(t, c, pushLine(1, ""), "--source", "script", "--resync"); status != 0 {
		t.Errorf("full statement: status %d\n%s", status, errs)
	}
	until(t, deadline(t, time.Minute), "the sweep is over", everything)

	// A source is retired, and what another has, too, is that one's when it states it again, though it is older than the sweep.
	awaitLevel(t, c, fsm.MaxLevel)
	if status, _, errs := pushed(t, c, "", "--source", "script", "--resync"); status != 0 {
		t.Errorf("retire: status %d\n%s", status, errs)
	}
	until(t, deadline(t, time.Minute), "the source has nothing left", func() bool { return len(shown(t, c.Nodes[0], "bindings", "--source", "script")) == 0 })
	if status, _, errs := pushed(t, c, strings.Join(first, "\n"), "--source", "copy", "--resync"); status != 0 {
		t.Errorf("copy: status %d\n%s", status, errs)
	}
	if got := shown(t, c.Nodes[1], "bindings", "--source", "copy"); len(got) != 3 {
		t.Errorf("what was swept, stated by another source: %q", got)
	}
	if status, _, errs := leasehold(t, "feed", "push", "--source", "x", "--links"); status != 1 || !strings.Contains(errs, "--resync") {
		t.Errorf("--links alone: status %d, %s", status, errs)
	}
}

// TestFeedPushKeepsRunning writes line by line to one process, and reads what it acknowledges: then every node has it.
func TestFeedPushKeepsRunning(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	cmd := exec.CommandContext(deadline(t, time.Minute), builtBinary(t), "feed", "push", "--source", "script", "--ack", "-q", "--cluster", strings.Join(c.GRPC(), ","))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewScanner(out)
	for i := 1; i <= 5; i++ {
		if _, err := io.WriteString(in, pushLine(i, "")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var a ackLine
		if !answers.Scan() || json.Unmarshal(answers.Bytes(), &a) != nil || a.Acknowledged != i {
			t.Fatalf("answer to line %d: %q, %v", i, answers.Text(), answers.Err())
		}
		t.Logf("line %d was acknowledged after %v", i, time.Since(began).Round(time.Microsecond))
		if got := shown(t, c.Nodes[i%3], "bindings"); len(got) != i {
			t.Errorf("after line %d node %d has %q", i, i%3, got)
		}
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestBindingsInConflict lets two sources give one address to two clients, asks every node what lost, and settles it.
func TestBindingsInConflict(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	theirs := strings.Replace(pushLine(1, `,"age_seconds":60`), "00:03:00", "00:04:00", 1)
	for source, line := range map[string]string{"kea-a": pushLine(1, ""), "kea-b": theirs} {
		if status, _, errs := pushed(t, c, line, "--source", source); status != 0 {
			t.Fatalf("status %d\n%s", status, errs)
		}
	}
	for i := range c.Nodes {
		got := shown(t, c.Nodes[i], "bindings", "--conflicts", "--source", "kea-b", "--address", "2001:db8:1000::1")
		var x conflictObject
		if len(got) != 1 || json.Unmarshal([]byte(got[0]), &x) != nil || x.Kind != "client" || x.Why != "older" || x.Lost.Source != "kea-b" ||
			x.Lost.DUID != "00:04:00:01:02:00:00:00:00:01" || x.Won.Source != "kea-a" || x.Won.State != "active" {
			t.Errorf("node %d: %q", i, got)
		}
	}
	status, out, _ := leasehold(t, "bindings", "--conflicts", "--cluster", c.Nodes[0].GRPC)
	if status != 0 || !strings.Contains(out, "2001:db8:1000::1  two clients\n  lost  kea-b") || !strings.Contains(out, "its transaction is older") {
		t.Errorf("status %d\n%s", status, out)
	}
	if got := shown(t, c.Nodes[0], "bindings", "--conflicts", "--client-id", "0005"); len(got) != 0 {
		t.Errorf("another client's conflicts: %q", got)
	}
	if status, _, errs := leasehold(t, "bindings", "--conflicts", "--link", "2001:db8::", "--cluster", c.Nodes[0].GRPC); status != 1 || !strings.Contains(errs, "--conflicts goes with") {
		t.Errorf("status %d, %s", status, errs)
	}
	if status, _, errs := pushed(t, c, `{"change":"end","address":"2001:db8:1000::1","duid":"00:04:00:01:02:00:00:00:00:01","iaid":1}`, "--source", "kea-b"); status != 0 {
		t.Fatalf("status %d\n%s", status, errs)
	}
	for i := range c.Nodes {
		if got := shown(t, c.Nodes[i], "bindings", "--conflicts"); len(got) != 0 {
			t.Errorf("settled, and node %d has %q", i, got)
		}
	}
}
