//go:build !linux

package requestor

import (
	"context"
	"syscall"
)

// control sets nothing: the options are Linux's.
func control(Config) func(context.Context, string, string, syscall.RawConn) error { return nil }
