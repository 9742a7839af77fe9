//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const (
	mark          = "leasehold-lab-" // what the names of all labs' namespaces begin with
	namespacesDir = "/run/netns"     // where iproute2 keeps named namespaces
)

// ownPrefix is what the names of this process's namespaces begin with: its pid, and when it started, because pids come again.
func ownPrefix() string { return fmt.Sprintf("%s%d-%s-", mark, os.Getpid(), startOf(os.Getpid())) }

// startOf is when a process started, in clock ticks since the machine did (proc(5), field 22 of stat); empty when there is none.
func startOf(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ") // the name may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}

// removeLeftovers takes away the namespaces, with what runs in them, of labs whose process is gone.
func removeLeftovers(tb testing.TB) {
	tb.Helper()
	entries, err := os.ReadDir(namespacesDir)
	if err != nil {
		return // there was never a namespace
	}
	for _, e := range entries {
		if abandoned(e.Name()) {
			tb.Logf("remove the network namespace %s, which an earlier run left", e.Name())
			killAll(tb, e.Name())
			removeNamespace(tb, e.Name())
		}
	}
}

// abandoned tells whether a namespace is a lab's and the process that made it is gone.
func abandoned(name string) bool {
	rest, ours := strings.CutPrefix(name, mark)
	if !ours {
		return false
	}
	parts := strings.SplitN(rest, "-", 3)
	if len(parts) != 3 {
		return false
	}
	pid, err := strconv.Atoi(parts[0])
	return err == nil && startOf(pid) != parts[1]
}

// killAll ends every process in a namespace.
func killAll(tb testing.TB, namespace string) {
	tb.Helper()
	for range 10 { // a process may start another while we look
		out, err := exec.Command("ip", "netns", "pids", namespace).Output()
		if err != nil || len(out) == 0 {
			return // gone already, or empty
		}
		for f := range strings.FieldsSeq(string(out)) {
			pid, err := strconv.Atoi(f)
			if err != nil || pid <= 1 || pid == os.Getpid() {
				continue
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				tb.Errorf("end process %d in %s: %v", pid, namespace, err)
			}
		}
	}
}

func removeNamespace(tb testing.TB, namespace string) {
	tb.Helper()
	if out, err := exec.Command("ip", "netns", "del", namespace).CombinedOutput(); err != nil {
		if _, gone := os.Stat(namespacesDir + "/" + namespace); gone == nil {
			tb.Errorf("remove the network namespace %s: %v: %s", namespace, err, out)
		}
	}
}
