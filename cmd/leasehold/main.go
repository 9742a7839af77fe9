// Command leasehold is a clustered DHCPv6 leasequery server and everything that goes with it: nodes, a cluster on a laptop, a
// requestor, feeders that run beside DHCP servers, and administration. It is the only place where the wings of the project meet.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is stamped by the build from git.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot(version).ExecuteContext(ctx)
	stop()
	var status exitStatus
	switch {
	case err == nil:
	case errors.As(err, &status):
		if status.message != "" {
			fmt.Fprintln(os.Stderr, "leasehold:", status.message)
		}
		os.Exit(status.code)
	default:
		fmt.Fprintln(os.Stderr, "leasehold:", err)
		os.Exit(1)
	}
}

// exitStatus ends the program with a code of its own.
type exitStatus struct {
	code    int
	message string
}

// Error is the message.
func (e exitStatus) Error() string { return e.message }
