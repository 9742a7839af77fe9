package kea

import (
	"bytes"
	"context"
	"time"
)

// way is one way to read what Kea has, as often as it is asked to: the lease file, or lease6-get-page. Whatever it says goes, in
// its order, to one place: the server that joins the ways.
type way interface {
	// read gives full statements and, if this way can, what changed between them, until ctx ends or something is wrong that time does
	// not heal. A failure that may pass is tried again, and is the trouble of the way meanwhile. It begins with a full statement;
	// a receive on ring asks for another soon. out waits while the cluster is slow; its error is the end of ctx.
	read(ctx context.Context, ring <-chan struct{}, out func(context.Context, chunk) error) error
	// trouble is what keeps it from Kea now, for people; empty: nothing. It may be called at any time from any goroutine.
	trouble() string
}

// chunk is a piece of what a way says. Only one of its parts is there, except that the begin of a statement may bring links.
type chunk struct {
	begin *beginning // a full statement begins
	rows  []row      // leases, also ended ones; they own their octets
	// events tells what rows are: true, what happened, in Kea's order (lines of the lease file); false, how leases were when they were
	// looked at (the survey of a lease file, a page).
	events bool
	asked  time.Time // rows are not older than this: Kea had written, or was asked, later
	end    bool      // the full statement ends: what it did not have Kea does not have
	doubt  string    // why only a full statement from Kea's memory can tell what is so, for people: a line that nobody can read
}

// beginning is what is known when a full statement begins.
type beginning struct {
	links   []link // of Kea's configuration
	linked  bool   // whether links is known
	partial bool   // Kea does not have everything itself now (its HA partner has more): what is missing is not gone, and no end follows
	behind  bool   // what Kea has is older than what its HA partner has stated: rows of a partial statement that are no events are not stated
}

// clone is a row that owns its octets.
func (r *row) clone() row {
	c := *r
	c.duid, c.hostname, c.subnet = bytes.Clone(r.duid), bytes.Clone(r.hostname), bytes.Clone(r.subnet)
	if len(r.relays) > 0 {
		c.relays = make([]relay, len(r.relays))
		for i := range r.relays {
			c.relays[i] = r.relays[i]
			c.relays[i].options = bytes.Clone(r.relays[i].options)
		}
	}
	return c
}
