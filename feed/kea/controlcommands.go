package kea

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
)

// page is a page of leases.
type page struct {
	rows   []row
	listed int            // leases of the page, also those that cannot be read
	bad    []*RecordError // of those
	cursor string         // the last lease's address as Kea writes it, from which the next page goes on
	asked  time.Time      // before Kea was asked
	took   time.Duration  // until the answer was there
}

// RecordError tells what is wrong with a lease in JSON.
type RecordError struct {
	Place string // where it was: the command, and which of its leases
	Field string // the member; empty when it is the lease as a whole
	Kept  bool   // the lease is used, only without this field
	Err   error
}

// Error is the place, then what is wrong.
func (e *RecordError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s: %v", e.Place, e.Err)
	}
	return fmt.Sprintf("%s: field %s: %v", e.Place, e.Field, e.Err)
}

// Unwrap is what is wrong, without the place.
func (e *RecordError) Unwrap() error { return e.Err }

// firstPage is the cursor of the first page.
const firstPage = "start"

// page asks for the leases behind a cursor, at most limit.
func (c *Control) page(ctx context.Context, cursor string, limit int) (page, error) {
	const command = "lease6-get-page"
	r, err := c.ask(ctx, command, map[string]any{"from": cursor, "limit": limit})
	if err != nil {
		return page{}, err
	}
	p := page{asked: r.asked, took: r.received.Sub(r.asked), cursor: cursor}
	if r.result == resultEmpty {
		return p, nil
	}
	return p, p.read(r.arguments, fmt.Sprintf("%s from %s", command, cursor))
}

// read takes the arguments of an answer.
func (p *page) read(arguments json.RawMessage, place string) error {
	var content struct {
		Leases []json.RawMessage `json:"leases"`
	}
	if err := json.Unmarshal(arguments, &content); err != nil {
		return fmt.Errorf("%s: %w: %w", place, ErrReply, err)
	}
	p.listed = len(content.Leases)
	p.rows = make([]row, 0, len(content.Leases))
	for i, text := range content.Leases {
		var r row
		if err := parseLease(text, &r); err != nil {
			p.bad = append(p.bad, recordError(err, fmt.Sprintf("%s: lease %d %s", place, i+1, leaseAddress(text))))
			continue
		}
		p.rows = append(p.rows, r)
	}
	if p.listed > 0 {
		if p.cursor = leaseAddress(content.Leases[p.listed-1]); p.cursor == "" {
			return fmt.Errorf("%s: %w: the last lease has no address to go on from", place, ErrReply)
		}
	}
	return nil
}

// leaseAddress is a lease's address as it is written, or empty.
func leaseAddress(text []byte) string {
	var l struct {
		Address netip.Addr `json:"ip-address"`
	}
	var raw struct {
		Address string `json:"ip-address"`
	}
	if json.Unmarshal(text, &l) != nil || json.Unmarshal(text, &raw) != nil {
		return ""
	}
	return raw.Address
}

// recordError gives a fieldError its place.
func recordError(err error, place string) *RecordError {
	e := lineProblem(err, place, 0, false)
	return &RecordError{Place: place, Field: e.Field, Err: e.Err}
}

// lease asks for one lease; found is false when Kea has none. asked is when it was asked. The error of a lease that cannot be read is a
// *RecordError.
func (c *Control) lease(ctx context.Context, address netip.Addr, kind binding.Kind) (r row, found bool, asked time.Time, err error) {
	const command = "lease6-get"
	answer, err := c.ask(ctx, command, map[string]any{"ip-address": address.String(), "type": kind.String()})
	if err != nil || answer.result == resultEmpty {
		return row{}, false, answer.asked, err
	}
	if err := parseLease(answer.arguments, &r); err != nil {
		return row{}, false, answer.asked, recordError(err, fmt.Sprintf("%s of %v", command, address))
	}
	return r, true, answer.asked, nil
}

// version is Kea's release.
func (c *Control) version(ctx context.Context) (string, error) {
	r, err := c.ask(ctx, "version-get", nil)
	return r.text, err
}

// commands are the names of those that Kea knows.
func (c *Control) commands(ctx context.Context) ([]string, error) {
	r, err := c.ask(ctx, "list-commands", nil)
	if err != nil {
		return nil, err
	}
	var names []string
	if err := json.Unmarshal(r.arguments, &names); err != nil {
		return nil, fmt.Errorf("list-commands: %w: %w", ErrReply, err)
	}
	return names, nil
}
