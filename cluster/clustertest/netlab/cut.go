//go:build linux

package netlab

import (
	"fmt"
	"os/exec"
	"strings"
)

// layCuts makes the bridge look up each frame's way in a set of cut ones.
func (l *Lab) layCuts() {
	l.tb.Helper()
	l.nft(`table bridge lab {
	set cut { type ifname . ifname; }
	chain forward {
		type filter hook forward priority 0;
		iifname . oifname @cut drop
	}
}`)
}

// Cut drops everything that from sends to to: one direction. Neither side's interface shows it. Cut again it stays cut.
func (l *Lab) Cut(from, to *Host) {
	l.tb.Helper()
	l.nft(fmt.Sprintf("add element bridge lab cut { %q . %q }", from.port, to.port))
}

// CutBoth drops everything between two hosts, in both directions.
func (l *Lab) CutBoth(a, b *Host) {
	l.tb.Helper()
	l.Cut(a, b)
	l.Cut(b, a)
}

// Isolate cuts a host off from all others, in both directions, as when its power fails: its interface stays up.
func (l *Lab) Isolate(h *Host) {
	l.tb.Helper()
	for _, other := range l.Hosts() {
		if other != h {
			l.CutBoth(h, other)
		}
	}
}

// Partition cuts between the sides, in both directions; within a side nothing is cut. Hosts on no side keep all their wires.
func (l *Lab) Partition(sides ...[]*Host) {
	l.tb.Helper()
	for i, side := range sides {
		for _, other := range sides[i+1:] {
			for _, a := range side {
				for _, b := range other {
					l.CutBoth(a, b)
				}
			}
		}
	}
}

// Heal undoes every cut. Links that are down stay down.
func (l *Lab) Heal() {
	l.tb.Helper()
	l.nft("flush set bridge lab cut")
}

// LinkDown pulls the host's cable: its interface loses its carrier and keeps its addresses.
func (h *Host) LinkDown() {
	h.lab.tb.Helper()
	h.lab.ip("-n", h.lab.wires, "link", "set", h.port, "down")
}

// LinkUp plugs the host's cable in again.
func (h *Host) LinkUp() {
	h.lab.tb.Helper()
	h.lab.ip("-n", h.lab.wires, "link", "set", h.port, "up")
}

// nft gives the bridge's namespace rules.
func (l *Lab) nft(rules string) {
	l.tb.Helper()
	cmd := exec.Command("ip", "netns", "exec", l.wires, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		l.tb.Fatalf("nft %s: %v: %s", rules, err, out)
	}
}
