//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// vitals is what a node's process exports about itself: every sample by its name, labels included.
type vitals map[string]float64

// vitals asks the node.
func (l *hostileLab) vitals() (vitals, error) {
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return l.node.Host.Dial(ctx, net.Dialer{}, network, addr)
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.node.HTTP+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	v := vitals{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if v[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("metric %q: %w", line, err)
		}
	}
	if v[anonymous], err = anonymousMemory(l.node.PID()); err != nil {
		return nil, err
	}
	return v, nil
}

// anonymous is the name under which vitals have the memory that is the process's own.
const anonymous = "anonymous"

// anonymousMemory is the memory of a process that no file is behind, in octets: that of a log that grows, which the kernel maps and takes back as
// it likes, does not count.
func anonymousMemory(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kilo, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
			return kilo * 1024, err
		}
	}
	return 0, fmt.Errorf("no RssAnon in the status of process %d", pid)
}

// mustVitals is vitals of a node that must answer.
func (l *hostileLab) mustVitals() vitals {
	l.t.Helper()
	v, err := l.vitals()
	if err != nil {
		l.t.Fatalf("ask the node for its metrics: %v; its log:\n%s", err, l.node.Output())
	}
	return v
}

// rss is the resident memory that is the process's own, in octets.
func (v vitals) rss() float64 { return v[anonymous] }

func (v vitals) String() string {
	return fmt.Sprintf("%.1f MB resident and %.1f MB of files, %.1f MB of heap in use, %.0f goroutines, %.0f descriptors, %.0f connections",
		v.rss()/1e6, (v["process_resident_memory_bytes"]-v.rss())/1e6, v["go_memstats_heap_inuse_bytes"]/1e6,
		v["go_goroutines"], v["process_open_fds"], v["leasehold_bulk_connections"])
}

// sum is the sum of all samples whose names begin so.
func (v vitals) sum(prefix string) (total float64) {
	for name, value := range v {
		if strings.HasPrefix(name, prefix) {
			total += value
		}
	}
	return total
}

// requireRecovers waits until the node has no more goroutines and descriptors than before, but for a few of the runtime's and of whoever asks.
func (l *hostileLab) requireRecovers(before vitals) vitals {
	l.t.Helper()
	const slack = 8
	var now vitals
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	for {
		now = l.mustVitals()
		if now["go_goroutines"] <= before["go_goroutines"]+slack && now["process_open_fds"] <= before["process_open_fds"]+slack && now.sum("leasehold_bulk_queries_running") == 0 {
			return now
		}
		timer := time.NewTimer(50 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			l.t.Errorf("a minute after the attack: %v; before it: %v", now, before)
			return now
		}
	}
}

// requireFlat fails unless the memory at the end is about what it was earlier. Memory is no matter of time: the bound is generous all the same.
func requireFlat(t *testing.T, what string, earlier, end vitals) {
	t.Helper()
	if bound := 1.5*earlier.rss() + 64e6; end.rss() > bound {
		t.Errorf("%s: %.1f MB resident at the end, %.1f MB earlier: more than %.1f MB", what, end.rss()/1e6, earlier.rss()/1e6, bound/1e6)
	}
}
