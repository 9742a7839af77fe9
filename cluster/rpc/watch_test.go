package rpc

import (
	"testing"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// TestStopEndsHealthWatchers sees that a server that stops ends the watchers of its health itself, and does not wait for them.
func TestStopEndsHealthWatchers(t *testing.T) {
	addr, stop := start(t, "", &node{}, nil, nil)
	pool := NewPool()
	defer pool.Close()
	conn, err := pool.Conn(addr)
	if err != nil {
		t.Fatal(err)
	}
	w, err := healthv1.NewHealthClient(conn).Watch(timeout(t), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Recv(); err != nil {
		t.Fatal(err)
	}
	stop()
	for err == nil {
		_, err = w.Recv()
	}
	if status.Code(err) != codes.Canceled {
		t.Errorf("the watch ended with %v, want Canceled by the server", err)
	}
}
