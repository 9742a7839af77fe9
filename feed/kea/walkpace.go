package kea

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Between pages Kea is left to its clients. A page of 200 leases takes Kea 2.2 about 6 ms, in which it answers nobody; so all of 18,000
// leases cost it half a second, and the pauses are what a statement takes. Where clients speak, Kea is busy with pages for at most a
// fifth of its time; where none does, nobody waits, and one who comes waits for one page, and Kea is left alone more from the eighth
// on. TestPagesBesideClients measures it: all of them in 3.5 s with the pauses of a busy Kea, and in 1.1 s with those of an idle one.
const (
	busyPause    = 4           // times as long as the page took
	idlePause    = 0.25        // likewise, when no client has spoken since the last page
	longestPause = time.Second // between pages
	idleLook     = 8           // pages from one look for clients to the next: Kea logs each command
)

// pagePace tells how long the pauses are, in one statement.
type pagePace struct {
	control  *Control
	served   bool  // others than clients wait for Kea: its HA partner
	blind    bool  // Kea does not tell whether clients speak
	received int64 // messages of clients, as of the last page
	known    bool  // whether received is
	quiet    bool  // no client had spoken, as of the last look
	pages    int
}

// pause is how long Kea is left alone after a page that took so long.
func (p *pagePace) pause(ctx context.Context, took time.Duration) time.Duration {
	factor := float64(busyPause)
	if p.pages++; p.pages <= 2 || p.pages%idleLook == 0 { // two looks are the first that tell
		p.quiet = p.idle(ctx)
	}
	if p.quiet {
		factor = idlePause
	}
	return min(time.Duration(factor*float64(took)), longestPause)
}

// idle tells whether no client has spoken since it was last asked.
func (p *pagePace) idle(ctx context.Context) bool {
	if p.served || p.blind {
		return false
	}
	n, err := p.control.received(ctx)
	if err != nil {
		p.blind = true
		return false
	}
	idle := p.known && n == p.received
	p.received, p.known = n, true
	return idle
}

// received asks Kea how many messages of clients it has got.
func (c *Control) received(ctx context.Context) (int64, error) {
	const command, name = "statistic-get", "pkt6-received"
	r, err := c.ask(ctx, command, map[string]any{"name": name})
	if err != nil {
		return 0, err
	}
	var content map[string][][]json.RawMessage // the newest value is first, each with its time
	if err := json.Unmarshal(r.arguments, &content); err != nil {
		return 0, fmt.Errorf("%s: %w: %w", command, ErrReply, err)
	}
	values := content[name]
	if len(values) == 0 || len(values[0]) == 0 {
		return 0, fmt.Errorf("%s: %w: no %s in it", command, ErrReply, name)
	}
	var n int64
	if err := json.Unmarshal(values[0][0], &n); err != nil {
		return 0, fmt.Errorf("%s: %w: %w", command, ErrReply, err)
	}
	return n, nil
}
