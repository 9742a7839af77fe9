package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/leasehold/leasehold/cluster/health"
)

const (
	beat        = health.Heartbeat
	followPause = 50 * time.Millisecond // between attempts to reach the node
)

// errSilent says that the node's process hangs: its socket is open and nothing comes.
var errSilent = errors.New("the node is silent")

// follower holds on to a node's stream of readiness.
type follower struct {
	url     string
	silence time.Duration
	tell    func(is readiness, why string) // must not block
}

// run follows until ctx ends. A node that cannot be reached, whose connection ends or that is silent is gone.
func (f *follower) run(ctx context.Context) {
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport}
	again := time.NewTicker(followPause)
	defer again.Stop()
	for ctx.Err() == nil {
		if err := f.stream(ctx, client); ctx.Err() == nil {
			f.tell(isGone, err.Error())
		}
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

// stream follows one connection to its end, and returns why it ended.
func (f *follower) stream(ctx context.Context, client *http.Client) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(f.silence, func() { cancel(errSilent) })
	defer silent.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", f.url, err)
	}
	r, err := client.Do(request)
	if err != nil {
		return orCause(ctx, err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", f.url, r.Status)
	}
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, maxReadyLine)
	for lines.Scan() {
		silent.Reset(f.silence)
		why, no := strings.CutPrefix(lines.Text(), "not ready: ")
		switch {
		case no && leaving(why):
			f.tell(isGone, why)
		case no:
			f.tell(notReady, why)
		case lines.Text() == "ready":
			f.tell(isReady, "")
		default:
			return fmt.Errorf("%s: unknown line %q", f.url, lines.Text())
		}
	}
	if err := lines.Err(); err != nil {
		return orCause(ctx, err)
	}
	return errors.New("the node has closed the stream")
}

// leaving tells whether the reasons say that the node does not come back by itself.
func leaving(why string) bool {
	for reason := range strings.SplitSeq(why, "; ") {
		switch kind, _, _ := strings.Cut(reason, ":"); kind {
		case "diverged", "draining", "stopping", "removed":
			return true
		}
	}
	return false
}

// orCause is why ctx was ended, or err if it was not.
func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
