package main

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// supervisor tells systemd what the process does, where it runs below it (Type=notify); elsewhere it tells nobody.
type supervisor struct {
	log *slog.Logger
}

// tell sends states (sd_notify(3)).
func (s supervisor) tell(states ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(states, "\n")); err != nil {
		s.log.Warn("systemd is not told", "err", err)
	}
}

// started says that the process serves. Whether the node is ready is another matter, and no reason to hold up a boot: the first
// node of a cluster waits for others.
func (s supervisor) started() { s.tell(daemon.SdNotifyReady) }

// status shows the node's readiness in `systemctl status`.
func (s supervisor) status(reasons []string) {
	text := "ready"
	if len(reasons) > 0 {
		text = "not ready: " + strings.Join(reasons, "; ")
	}
	s.tell("STATUS=" + text)
}

// stopping says that a planned stop has begun, and how long it may take: longer than TimeoutStopSec if it is configured so.
func (s supervisor) stopping(most time.Duration) {
	s.tell(daemon.SdNotifyStopping, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", most.Microseconds()))
}

// watchdog is how often alive is to be told (WatchdogSec=); 0 for never.
func (s supervisor) watchdog() time.Duration {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("systemd's watchdog is not served", "err", err)
	}
	return every / 2
}

// alive says that the process is not stuck.
func (s supervisor) alive() { s.tell(daemon.SdNotifyWatchdog) }
