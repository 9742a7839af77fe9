package main

import (
	"bufio"
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

// bindingFilter holds the flags of the bindings command.
type bindingFilter struct {
	address, clientID, relayID, remoteID, link, source string
	consistent, conflicts                              bool
}

func bindingsCommand() *cobra.Command {
	var call adminCall
	var f bindingFilter
	c := &cobra.Command{
		Use:   "bindings",
		Short: "List the bindings that a node holds",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			req, err := f.request()
			if err != nil {
				return err
			}
			if f.conflicts {
				return f.listConflicts(cmd, &call)
			}
			return call.do(cmd.Context(), func(ctx context.Context, admin adminv1.AdminClient) error {
				return listBindings(ctx, admin, req, cmd.OutOrStdout(), call.json)
			})
		},
	}
	call.flags(c)
	c.Flags().Lookup("timeout").DefValue = "0s"
	call.timeout = 0
	c.Flags().StringVar(&f.address, "address", "", "only the binding of this address, or the delegated prefix that holds it")
	c.Flags().StringVar(&f.clientID, "client-id", "", "only this client, its DUID in hex")
	c.Flags().StringVar(&f.relayID, "relay-id", "", "only bindings that came through this relay, its DUID in hex")
	c.Flags().StringVar(&f.remoteID, "remote-id", "", "only bindings with this remote-id, ENTERPRISE:HEX")
	c.Flags().StringVar(&f.link, "link", "", "only bindings on the link of this address")
	c.Flags().StringVar(&f.source, "source", "", "only bindings of this source")
	c.Flags().BoolVar(&f.consistent, "consistent", true, "first wait until the node has everything that was acknowledged")
	c.Flags().BoolVar(&f.conflicts, "conflicts", false, "only bindings about which sources disagree, and what lost")
	return c
}

func (f *bindingFilter) request() (*adminv1.ListBindingsRequest, error) {
	req := &adminv1.ListBindingsRequest{Link: f.link, Source: f.source, Consistent: f.consistent}
	if f.address != "" {
		a, err := netip.ParseAddr(f.address)
		if err != nil || !a.Is6() {
			return nil, fmt.Errorf("--address %q is not an IPv6 address", f.address)
		}
		req.Address = a.AsSlice()
	}
	var err error
	if req.Duid, err = binding.ParseHex(f.clientID); err != nil {
		return nil, fmt.Errorf("--client-id: %w", err)
	}
	if req.RelayId, err = binding.ParseHex(f.relayID); err != nil {
		return nil, fmt.Errorf("--relay-id: %w", err)
	}
	if f.remoteID != "" {
		if req.RemoteId, err = parseRemoteID(f.remoteID); err != nil {
			return nil, fmt.Errorf("--remote-id: %w", err)
		}
	}
	return req, nil
}

// bindingObject is a line of `bindings --json`.
type bindingObject struct {
	Address         string `json:"address,omitempty"`
	Prefix          string `json:"prefix,omitempty"`
	DUID            string `json:"duid"`
	IAID            uint32 `json:"iaid"`
	Link            string `json:"link"`
	Preferred       uint32 `json:"preferred"`
	Valid           uint32 `json:"valid"`
	LastTransaction int64  `json:"last_transaction"`
	State           string `json:"state"`
	Source          string `json:"source"`
	Temporary       bool   `json:"temporary,omitempty"`
}

func listBindings(ctx context.Context, admin adminv1.AdminClient, req *adminv1.ListBindingsRequest, out io.Writer, asJSON bool) error {
	stream, err := admin.ListBindings(ctx, req)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out, 1<<16)
	enc := json.NewEncoder(w)
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return w.Flush()
		}
		if err != nil {
			return err
		}
		for _, b := range r.GetBindings() {
			if asJSON {
				err = enc.Encode(bindingJSON(b))
			} else {
				err = printBinding(w, b)
			}
			if err != nil {
				return fmt.Errorf("write binding: %w", err)
			}
		}
	}
}

func bindingJSON(b *adminv1.Binding) bindingObject {
	return bindingObject{
		Address: b.GetAddress(), Prefix: b.GetPrefix(), DUID: binding.FormatDUID(b.GetDuid()), IAID: b.GetIaid(), Link: b.GetLink(),
		Preferred: b.GetPreferred(), Valid: b.GetValid(), LastTransaction: binding.Time(b.GetLastTransactionMs()).Seconds(), State: b.GetState(),
		Source: b.GetSource(), Temporary: b.GetTemporary(),
	}
}

func printBinding(w io.Writer, b *adminv1.Binding) error {
	what := b.GetAddress()
	if what == "" {
		what = b.GetPrefix()
	}
	_, err := fmt.Fprintf(w, "%-40s client %s  iaid %d  link %s  valid %s of %s  since %s  %s\n", what, binding.FormatDUID(b.GetDuid()), b.GetIaid(),
		b.GetLink(), seconds(b.GetRemainingValid()), seconds(b.GetValid()),
		time.UnixMilli(b.GetLastTransactionMs()).UTC().Format(time.RFC3339), b.GetSource())
	return err
}

// seconds writes a lifetime for people.
func seconds(s uint32) string {
	if s == binding.Infinity {
		return "infinite"
	}
	return (time.Duration(s) * time.Second).String()
}
