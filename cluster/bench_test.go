package cluster_test

import (
	"testing"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/cluster/clustertest"
)

// BenchmarkPropose proposes entries of 1,000 bindings to three nodes, each acknowledged by a majority with its disk synced.
func BenchmarkPropose(b *testing.B) {
	c := clustertest.New(b, clustertest.Options{})
	n := c.Leader().Node()
	const size, space = 1000, 200_000
	entries := make([][]byte, b.N)
	for i := range entries {
		entries[i] = lease(b, 1, uint64(i)+1, size*i%space, size, uint32(3600+i))
	}
	ctx := deadline(b)
	b.SetBytes(int64(len(entries[0])))
	pending := make([]*cluster.Pending, 0, b.N)
	b.ResetTimer()
	for _, e := range entries {
		p, err := n.Propose(ctx, e)
		if err != nil {
			b.Fatal(err)
		}
		pending = append(pending, p)
	}
	for _, p := range pending {
		if r, err := p.Wait(ctx); err != nil || r.Expected != 0 {
			b.Fatalf("%+v, %v", r, err)
		}
	}
	b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "bindings/s")
}

// BenchmarkView takes views from many goroutines at a follower: ReadIndex rounds are shared.
func BenchmarkView(b *testing.B) {
	c := clustertest.New(b, clustertest.Options{})
	n := c.Followers()[0].Node()
	ctx := deadline(b)
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			v, err := n.View(ctx)
			if err != nil {
				b.Fatal(err)
			}
			v.Release()
		}
	})
}
