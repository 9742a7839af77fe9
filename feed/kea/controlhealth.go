package kea

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// health is what Kea says about itself.
type health struct {
	process  bool // whether pid, started and reloaded are known
	pid      int64
	started  span      // when the process began
	reloaded span      // when its configuration was read
	pairs    []pairing // of the HA hook; none without it
}

// span is an instant that is known within bounds.
type span struct{ earliest, latest time.Time }

// spanOf is when something was that Kea says was so many whole seconds ago.
func spanOf(asked, received time.Time, seconds int64) span {
	ago := time.Duration(seconds) * time.Second
	return span{asked.Add(-ago - time.Second), received.Add(-ago)}
}

// after tells whether it was surely later than another.
func (s span) after(other span) bool { return s.earliest.After(other.latest) }

// pairing is one relationship of the HA hook.
type pairing struct {
	state       string // of this server
	interrupted bool   // its partner does not answer it
}

// behind tells whether Kea, which has been away, still waits for what its HA partner gave meanwhile. It answers no client until then.
func (h *health) behind() bool {
	return slices.ContainsFunc(h.pairs, func(p pairing) bool { return p.state == "waiting" || p.state == "syncing" })
}

// maxSeconds bounds what Kea says about ages, which then fit into a time.Duration.
const maxSeconds = 1 << 32

// health asks Kea how it is: by status-get, or where that is not allowed by ha-heartbeat.
func (c *Control) health(ctx context.Context) (health, error) {
	r, err := c.ask(ctx, "status-get", nil)
	if errors.Is(err, ErrForbidden) || errors.Is(err, ErrUnsupported) {
		return c.heartbeat(ctx)
	}
	if err != nil {
		return health{}, err
	}
	var content struct {
		PID    *int64 `json:"pid"`
		Uptime *int64 `json:"uptime"`
		Reload *int64 `json:"reload"`
		HA     []struct {
			Servers struct {
				Local  struct{ State string }
				Remote struct {
					Interrupted bool   `json:"communication-interrupted"` // since max-response-delay, 60 s by default
					LastState   string `json:"last-state"`                // "unavailable" since the first heartbeat without answer
				}
			} `json:"ha-servers"`
		} `json:"high-availability"`
	}
	if err := json.Unmarshal(r.arguments, &content); err != nil {
		return health{}, fmt.Errorf("status-get: %w: %w", ErrReply, err)
	}
	var h health
	if content.PID != nil && content.Uptime != nil && content.Reload != nil {
		up, loaded := min(max(*content.Uptime, 0), maxSeconds), min(max(*content.Reload, 0), maxSeconds)
		h.process, h.pid = true, *content.PID
		h.started, h.reloaded = spanOf(r.asked, r.received, up), spanOf(r.asked, r.received, loaded)
	}
	for _, p := range content.HA {
		h.pairs = append(h.pairs, pairing{p.Servers.Local.State, p.Servers.Remote.Interrupted || p.Servers.Remote.LastState == "unavailable"})
	}
	return h, nil
}

// heartbeat asks as an HA partner does. A Kea without the hook has no pairs; one that lets nobody ask has one of unknown state.
func (c *Control) heartbeat(ctx context.Context) (health, error) {
	r, err := c.ask(ctx, "ha-heartbeat", nil)
	switch {
	case errors.Is(err, ErrUnsupported):
		return health{}, nil
	case errors.Is(err, ErrForbidden):
		return health{pairs: []pairing{{}}}, nil
	case err != nil:
		return health{}, err
	}
	var content struct {
		State string `json:"state"`
	}
	if err := json.Unmarshal(r.arguments, &content); err != nil {
		return health{}, fmt.Errorf("ha-heartbeat: %w: %w", ErrReply, err)
	}
	return health{pairs: []pairing{{state: content.State}}}, nil
}
