package ingest

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/leasehold/leasehold/cluster/rpc"
	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/fsm"
)

// BenchmarkFeed feeds new leases over loopback to a single node, directly and through one that passes the session on, until each
// is on disk, applied and acknowledged.
func BenchmarkFeed(b *testing.B) {
	for _, through := range []string{"leader", "follower"} {
		b.Run(through, func(b *testing.B) {
			n := newLone(b)
			addr := serve(b, New(n, n.state, nil, nil, nil))
			if through == "follower" {
				pool := rpc.NewPool()
				b.Cleanup(func() { pool.Close() })
				addr = serve(b, New(newFollower(addr), fsm.New(fsm.Config{}), pool, nil, nil))
			}
			a, err := feed.New(feed.Config{Source: "kea", Cluster: []string{addr},
				DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}}, &stated{n: b.N})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			if err := a.Run(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "bindings/s")
		})
	}
}
