package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/cluster/rpc"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// maxAnswer bounds an answer of the administration, in octets: a list of a million links.
const maxAnswer = 256 << 20

// adminCall is what every command that speaks to a cluster's administration has in common.
type adminCall struct {
	cluster []string
	json    bool
	timeout time.Duration
}

// flags adds --cluster, --json and --timeout to a command.
func (a *adminCall) flags(c *cobra.Command) {
	c.Flags().StringSliceVar(&a.cluster, "cluster", []string{"127.0.0.1:5470"}, "gRPC addresses of nodes, host:port, tried in turn")
	c.Flags().BoolVar(&a.json, "json", false, "print JSON")
	c.Flags().DurationVar(&a.timeout, "timeout", 10*time.Second, "give up after this long")
}

// errAskNext is what a call returns when the node that it asked cannot know yet and another may.
var errAskNext = errors.New("it has not found its cluster yet")

// callError is an error of a call, written without the marks of gRPC.
type callError struct{ err error }

// Error is what the node, or the network, said.
func (e callError) Error() string {
	message := status.Convert(e.err).Message()
	if _, dial, ok := strings.Cut(message, "Error while dialing: "); ok {
		return strings.TrimSuffix(dial, `"`)
	}
	return message
}

// Unwrap is the error with its code.
func (e callError) Unwrap() error { return e.err }

// do calls f with a client of each node in turn until one can be reached and knows. A call that a node answered with an error
// is not tried again: an operator's command fails visibly.
func (a *adminCall) do(ctx context.Context, f func(context.Context, adminv1.AdminClient) error) error {
	var errs []error
	for _, addr := range a.cluster {
		err := a.try(ctx, addr, f)
		if err == nil {
			return nil
		}
		if _, called := status.FromError(err); called {
			err = callError{err}
		}
		if again := errors.Is(err, errAskNext) || status.Code(err) == codes.Unavailable; !again || ctx.Err() != nil {
			return err
		}
		errs = append(errs, fmt.Errorf("node %s: %w", addr, err))
	}
	if len(errs) == 0 {
		return errors.New("no node given: use --cluster host:port")
	}
	return errors.Join(errs...)
}

func (a *adminCall) try(ctx context.Context, addr string, f func(context.Context, adminv1.AdminClient) error) error {
	conn, err := grpc.NewClient(addr, append(rpc.Vigilant(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))...)
	if err != nil {
		return fmt.Errorf("dial %q: %w", addr, err)
	}
	defer conn.Close()
	if a.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.timeout)
		defer cancel()
	}
	return f(ctx, adminv1.NewAdminClient(conn))
}

// printJSON writes v as one line of JSON.
func printJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode JSON: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}

// printTable writes rows under a header, in columns.
func printTable(w io.Writer, header []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(header, "\t"))
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	return t.Flush()
}

// yesNo writes a truth value for a table.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
