package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	hookTimeout = 5 * time.Second // for a command of --up or --down
	tellRetry   = time.Second     // after something could not be told
)

// readiness is how much a node wants relays. Its number is what a track file holds.
type readiness int

const (
	isReady  readiness = 0
	notReady readiness = 1 // rather not here; but if no other node is ready, here is as good as anywhere
	isGone   readiness = 3 // not here: it is draining, hangs or does not run
)

// announcement is where readiness is told.
type announcement struct {
	file     string // holds the number of the readiness; empty: none
	up, down string // shell commands, for ready and not; empty: none
}

// make tells it. What can be told is, whatever fails beside it.
func (a announcement) make(ctx context.Context, r readiness) error {
	command := a.down
	if r == isReady {
		command = a.up
	}
	var errs []error
	if a.file != "" {
		errs = append(errs, writeAtOnce(a.file, fmt.Sprintf("%d\n", r)))
	}
	if command != "" {
		errs = append(errs, runHook(ctx, command))
	}
	return errors.Join(errs...)
}

// writeAtOnce replaces a file, so that a reader sees the old text or the new.
func writeAtOnce(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		return fmt.Errorf("write track file: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write track file: %w", err)
	}
	return nil
}

func runHook(ctx context.Context, command string) error {
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.WaitDelay = time.Second // for children of the shell that hold its output
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run %q: %w: %s", command, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// announcer tells of a node's readiness as it changes. A slow command holds up the next telling, never who calls want: of several
// changes in the meantime only the last is told.
type announcer struct {
	to     announcement
	repeat time.Duration
	log    *slog.Logger
	wake   chan struct{}

	mu    sync.Mutex
	known bool // whether want was called
	is    readiness
	why   string
}

// newAnnouncer tells to, at each change and again every repeat, if that is not 0. It starts nothing.
func newAnnouncer(to announcement, repeat time.Duration, log *slog.Logger) *announcer {
	return &announcer{to: to, repeat: repeat, log: log, wake: make(chan struct{}, 1)}
}

// want says what is to be told.
func (a *announcer) want(is readiness, why string) {
	a.mu.Lock()
	changed := !a.known || is != a.is
	a.known, a.is, a.why = true, is, why
	a.mu.Unlock()
	if changed {
		select {
		case a.wake <- struct{}{}:
		default: // it will look anyway
		}
	}
}

func (a *announcer) wanted() (known bool, is readiness, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known, a.is, a.why
}

// run tells until ctx ends; then it tells that the node is gone. Before want was first called nothing is told: what was told
// before stands until the node was asked.
func (a *announcer) run(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	var told bool
	var last readiness
	for {
		select {
		case <-a.wake:
		case <-again.C:
		case <-ctx.Done():
			_ = a.tell(context.WithoutCancel(ctx), isGone, "the agent ends", !told || last != isGone) // it was logged
			return
		}
		next := a.repeat
		if known, is, why := a.wanted(); known {
			err := a.tell(ctx, is, why, !told || is != last)
			if err != nil {
				next = tellRetry
			}
			told, last = err == nil, is
		}
		if next > 0 {
			again.Reset(next)
		}
	}
}

// tell makes the announcement, and logs it if it is news or fails.
func (a *announcer) tell(ctx context.Context, is readiness, why string, news bool) error {
	err := a.to.make(ctx, is)
	switch {
	case err != nil && ctx.Err() != nil: // broken off; the end is told next
	case err != nil:
		a.log.Error("readiness could not be told", "err", err)
	case news && is == isReady:
		a.log.Info("ready")
	case news:
		a.log.Warn("not ready", "gone", is == isGone, "why", why)
	}
	return err
}
