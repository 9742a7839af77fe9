package main

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPlannedStopHandsSubscriptionsOn stops the node that a watcher follows. At first nothing changes but that the node is not ready: it
// answers over TCP and UDP, and the subscription tells what changes. Then the subscription ends with QueryTerminated and goes on
// elsewhere, while the node still answers; then the node ends, well.
func TestPlannedStopHandsSubscriptionsOn(t *testing.T) {
	t.Parallel()
	c, f := followed(t, 3, "drain.delay=20s")
	t.Cleanup(func() { // nobody waits for the delay at the end
		for _, n := range c.Nodes {
			must(t, n.Kill())
		}
	})
	w := startWatch(t, nil, c.Leasequery(), "link-address", watchedLink, "--full")
	w.follows(f)
	stopping := w.server(c)
	if err := stopping.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	answers := func() {
		t.Helper()
		for _, how := range [][]string{{"link-address", watchedLink, "--rounds", "1"}, {"address", "2001:db8:1000::5001", "--udp"}} {
			if status, out, errs := leasehold(t, append(append([]string{"query"}, how...), "--server", stopping.LeasequeryTCP)...); status != 0 {
				t.Errorf("%q, while it drains: status %d\n%s%s", how, status, out, errs)
			}
		}
	}
	until(t, deadline(t, time.Minute), "it is not ready", func() bool {
		code, reasons := httpGet(deadline(t, time.Minute), stopping, "/readyz")
		return code == 503 && strings.Contains(reasons, "draining")
	})
	answers()
	f.grant(70, 70, 7200, true)
	f.feed(t, c.GRPC()...)
	w.follows(f)
	w.until("the subscription ends", func() bool { return len(w.events(kind("terminated"))) == 1 })
	answers()
	if ended := w.events(kind("terminated"))[0]; ended.Server != stopping.LeasequeryTCP || !strings.Contains(ended.Reason, "QueryTerminated") {
		t.Errorf("the subscription ended with %+v, want QueryTerminated", ended)
	}
	w.until("another node is followed", func() bool { return w.server(c) != stopping })
	if err := stopping.Signal(syscall.SIGTERM); err != nil { // the rest of the delay, which was for a busy machine, is not waited for
		t.Fatal(err)
	}
	<-stopping.Exited()
	f.drop(70)
	f.feed(t, c.GRPC()...)
	w.follows(f)
	if missing := w.events(kind("data-missing")); len(missing) > 0 {
		t.Errorf("data is missing: %+v", missing)
	}
	log, err := stopping.Log()
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, step := range []string{"drain begins", "answers have ended", "node has stopped"} {
		i := strings.Index(log[at:], step)
		if i < 0 {
			t.Errorf("the log does not say %q behind what came before it", step)
		}
		at += max(i, 0)
	}
}
