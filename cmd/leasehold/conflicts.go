package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/fsm/binding"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// conflictObject is a line of `bindings --conflicts --json`.
type conflictObject struct {
	Address string      `json:"address,omitempty"`
	Prefix  string      `json:"prefix,omitempty"`
	Kind    string      `json:"kind"`
	Why     string      `json:"why"`
	First   int64       `json:"first"`
	Last    int64       `json:"last"`
	Lost    claimObject `json:"lost"`
	Won     claimObject `json:"won"`
}

// claimObject is what a source says.
type claimObject struct {
	Source          string `json:"source"`
	DUID            string `json:"duid"`
	IAID            uint32 `json:"iaid"`
	Valid           uint32 `json:"valid"`
	LastTransaction int64  `json:"last_transaction"`
	State           string `json:"state"`
}

// listConflicts prints what lost. The asked node does the listing, the filters are applied here: there are few rows.
func (f *bindingFilter) listConflicts(cmd *cobra.Command, call *adminCall) error {
	if f.relayID != "" || f.remoteID != "" || f.link != "" {
		return errors.New("--conflicts goes with --address, --client-id and --source only")
	}
	return call.do(cmd.Context(), func(ctx context.Context, admin adminv1.AdminClient) error {
		r, err := admin.ListConflicts(ctx, &adminv1.ListConflictsRequest{Consistent: f.consistent})
		if err != nil {
			return err
		}
		if err := f.printConflicts(cmd.OutOrStdout(), r, call.json); err != nil {
			return fmt.Errorf("write conflicts: %w", err)
		}
		return noteConflicts(cmd.ErrOrStderr(), r)
	})
}

func (f *bindingFilter) printConflicts(out io.Writer, r *adminv1.ListConflictsResponse, asJSON bool) error {
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	for _, c := range r.GetConflicts() {
		match, err := f.matchesConflict(c)
		switch {
		case err != nil:
			return err
		case !match:
			continue
		case asJSON:
			err = enc.Encode(conflictJSON(c))
		default:
			err = printConflict(w, c)
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

// noteConflicts tells what the list may lack.
func noteConflicts(w io.Writer, r *adminv1.ListConflictsResponse) error {
	if since := r.GetSinceMs(); since > 0 {
		if _, err := fmt.Fprintf(w, "What was said before %s, when this node started or took a snapshot, shows after the next full statement of each source.\n", atMS(since)); err != nil {
			return err
		}
	}
	if n := r.GetDropped(); n > 0 {
		if _, err := fmt.Fprintf(w, "%d conflicts more were seen than a node remembers: the newest are shown.\n", n); err != nil {
			return err
		}
	}
	return nil
}

// matchesConflict applies the filters.
func (f *bindingFilter) matchesConflict(c *adminv1.Conflict) (bool, error) {
	if f.source != "" && c.GetLost().GetSource() != f.source && c.GetWon().GetSource() != f.source {
		return false, nil
	}
	if f.clientID != "" {
		duid, err := binding.ParseHex(f.clientID)
		if err != nil || !bytes.Equal(duid, c.GetLost().GetDuid()) && !bytes.Equal(duid, c.GetWon().GetDuid()) {
			return false, err
		}
	}
	if f.address == "" {
		return true, nil
	}
	a, err := netip.ParseAddr(f.address)
	if err != nil {
		return false, err
	}
	if c.GetAddress() != "" {
		return c.GetAddress() == a.String(), nil
	}
	p, err := netip.ParsePrefix(c.GetPrefix())
	return err == nil && p.Contains(a), err
}

func conflictJSON(c *adminv1.Conflict) conflictObject {
	claim := func(c *adminv1.Claim) claimObject {
		return claimObject{Source: c.GetSource(), DUID: binding.FormatDUID(c.GetDuid()), IAID: c.GetIaid(), Valid: c.GetValid(),
			LastTransaction: binding.Time(c.GetLastTransactionMs()).Seconds(), State: c.GetState()}
	}
	return conflictObject{Address: c.GetAddress(), Prefix: c.GetPrefix(), Kind: c.GetKind(), Why: c.GetWhy(), Lost: claim(c.GetLost()), Won: claim(c.GetWon()),
		First: binding.Time(c.GetFirstMs()).Seconds(), Last: binding.Time(c.GetLastMs()).Seconds()}
}

func atMS(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// printConflict writes a conflict for people, in three lines.
func printConflict(w io.Writer, c *adminv1.Conflict) error {
	why := "its transaction is older"
	switch {
	case c.GetWhy() == "tie" && c.GetKind() == binding.EndedKind.String():
		why = "both are of one time, and the end wins"
	case c.GetWhy() == "tie":
		why = "both are of one time, and the higher source name wins"
	}
	what := c.GetAddress()
	if what == "" {
		what = c.GetPrefix()
	}
	if _, err := fmt.Fprintf(w, "%s  %s\n", what, map[string]string{"client": "two clients", "lifetime": "two lifetimes", "ended": "in force and ended"}[c.GetKind()]); err != nil {
		return err
	}
	for _, side := range []struct {
		word  string
		claim *adminv1.Claim
		more  string
	}{{"lost", c.GetLost(), fmt.Sprintf("said %s to %s: %s", atMS(c.GetFirstMs()), atMS(c.GetLastMs()), why)}, {"won ", c.GetWon(), ""}} {
		x := side.claim
		if _, err := fmt.Fprintf(w, "  %s  %s  client %s  iaid %d  valid %s since %s  %s  %s\n", side.word, x.GetSource(), binding.FormatDUID(x.GetDuid()),
			x.GetIaid(), seconds(x.GetValid()), atMS(x.GetLastTransactionMs()), x.GetState(), side.more); err != nil {
			return err
		}
	}
	return nil
}
