package dnsmasq

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain is dnsmasq's script too: with a socket in the environment it sends one event, as `leasehold feed dnsmasq event` does.
func TestMain(m *testing.M) {
	if socket := os.Getenv("DNSMASQ_TEST_SOCKET"); socket != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := SendEvent(ctx, socket, os.Args[1:], os.Environ())
		cancel()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
