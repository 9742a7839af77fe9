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
	root := newRoot(version)
	ending := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) && !reloading(root, os.Args[1:]) { // nohup ignores it
		ending = append(ending, syscall.SIGHUP) // the terminal is gone: stop in order, and leave no node behind
	}
	ctx, stop := signal.NotifyContext(context.Background(), ending...)
	err := root.ExecuteContext(ctx)
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

// outliveReader lets writes to a closed pipe fail instead of ending the program, until the function that it returns is called:
// whoever has started processes must live to stop them.
func outliveReader() func() {
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	return func() { signal.Stop(broken) }
}
