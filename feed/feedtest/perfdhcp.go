//go:build linux

package feedtest

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// PerfDHCP has Kea's load generator ask a server for an address and a prefix for each of so many clients in turn, through a relay
// that is the host itself, for so long. rate is of exchanges a second; 0: more than any server can do. It returns how many exchanges
// of four messages a second were complete. The test is skipped where there is no perfdhcp.
func PerfDHCP(tb testing.TB, host *netlab.Host, server netip.Addr, clients, rate int, d time.Duration) (exchanges float64) {
	tb.Helper()
	if _, err := exec.LookPath("perfdhcp"); err != nil {
		tb.Skip("needs perfdhcp (Debian package kea-admin)")
	}
	args := []string{"-6", "-A", "1", "-l", host.Addr.String(), "-e", "address-and-prefix", "-R", fmt.Sprint(clients), "-p", fmt.Sprint(int(d.Seconds()))}
	if rate > 0 {
		args = append(args, "-r", fmt.Sprint(rate))
	}
	out, err := host.TryRun("perfdhcp", append(args, server.String())...)
	const dropped = 3 // the exit status when not every message was answered
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != dropped) {
		tb.Fatalf("perfdhcp: %v: %s", err, out)
	}
	m := regexp.MustCompile(`Rate: ([0-9.e+]+) 4-way exchanges/second`).FindStringSubmatch(out)
	if m == nil {
		tb.Fatalf("perfdhcp tells no rate: %s", out)
	}
	if exchanges, err = strconv.ParseFloat(m[1], 64); err != nil || exchanges == 0 {
		tb.Fatalf("perfdhcp had no exchange: %s", out)
	}
	return exchanges
}
