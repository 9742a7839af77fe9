package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// checkUDP tells why a query cannot be asked over UDP as the flags want it, or nil.
func (f *queryFlags) checkUDP(cmd *cobra.Command, kind string, q requestor.Query) error {
	switch {
	case q.Type != dhcpv6.QueryByAddress && q.Type != dhcpv6.QueryByClientID:
		return fmt.Errorf("%s needs TCP: over UDP there are only queries by address and by client-id (RFC 5460 4); leave --udp out", kind)
	case f.tls.use:
		return errors.New("--tls goes with TCP: leave --udp out")
	case f.stream:
		return errors.New("--stream goes with TCP: over UDP an answer is one message")
	}
	for _, name := range []string{"patience", "rounds", "data-timeout", "receive-buffer"} {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s goes with TCP: over UDP each server is asked as often and as long as RFC 5007 4.1.4 says", name)
		}
	}
	return nil
}

// ask asks the servers over the transport that the flags name.
func (f *queryFlags) ask(ctx context.Context, cfg requestor.Config, q requestor.Query, each func(*requestor.Client) error) error {
	if f.udp {
		return requestor.QueryUDP(ctx, f.servers, cfg, q, each)
	}
	return requestor.QueryAny(ctx, f.servers, cfg, q, each)
}
