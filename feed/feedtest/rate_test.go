//go:build linux

package feedtest

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// TestRate measures how many clients a second a Kea serves that sends each change to the cluster, against a Kea beside it that does
// not, in turns. It prints; it asserts only that in the end the cluster has every lease.
//
// Kea and perfdhcp have one processor, the cluster and the agent the others, as if they were other machines.
func TestRate(t *testing.T) {
	s := newScene(t, func(kea *netlab.Host) KeaConfig { c := pushed(kea); c.Threads = 4; return c }, func(k *Kea) []string {
		return []string{"--push", k.Host.Addr4.String() + pushPort, "--push-early", "--control", "unix:" + k.Socket}
	})
	alone := NewKea(t, s.cluster.Lab.Host("alone"), KeaConfig{Threads: 4})
	alone.Start()
	generator := s.cluster.Lab.Host("generator")
	if cpus := runtime.NumCPU(); cpus > 1 {
		for _, p := range []*netlab.Process{s.kea.Process, alone.Process} {
			p.Host.Run("taskset", "-a", "-c", "-p", "0", fmt.Sprint(p.PID()))
		}
		for _, p := range []*netlab.Process{s.agent.Process, s.cluster.Nodes[0].Process, s.cluster.Nodes[1].Process, s.cluster.Nodes[2].Process} {
			p.Host.Run("taskset", "-a", "-c", "-p", fmt.Sprintf("1-%d", cpus-1), fmt.Sprint(p.PID()))
		}
	}
	ladder, each := []int{400}, 2*time.Second // exchanges a second that are asked for
	if os.Getenv("LEASEHOLD_LEASES") != "" {
		ladder, each = []int{500, 1000, 1500, 2000, 2500, 3000, 3500, 4000}, 5*time.Second
	}
	load := func(k *Kea, rate int) (served float64, cost time.Duration) {
		before := processorTime(t, k)
		served = PerfDHCP(t, generator, k.Host.Addr, 20_000, rate, each)
		return served, time.Duration(float64(processorTime(t, k)-before) / (served * each.Seconds()))
	}
	var with, without float64
	for _, rate := range ladder {
		b, costB := load(alone, rate)
		a, costA := load(s.kea, rate)
		t.Logf("of %d clients a second are served: %.0f with the cluster as backup peer (%v of Kea's processor time each), %.0f without (%v)",
			rate, a, costA.Round(time.Microsecond), b, costB.Round(time.Microsecond))
		with, without = max(with, a), max(without, b)
		if asked := 0.9 * float64(rate); a < asked && b < asked {
			break // both have their limit behind them: beyond it a server has work enough to serve nobody
		}
	}
	t.Logf("at most %.0f clients a second with, %.0f without: %.0f %%", with, without, 100*with/without)
	s.equal("the load")
}

// processorTime is what a server has used of the processor so far (proc(5): utime and stime, in hundredths of a second).
func processorTime(t *testing.T, k *Kea) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", k.PID()))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var sum time.Duration
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}
