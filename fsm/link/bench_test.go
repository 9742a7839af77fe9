package link

import (
	"testing"
)

// BenchmarkCodec writes and reads a table of many made-up links.
func BenchmarkCodec(b *testing.B) {
	const links = 500_000
	table := New()
	for i := range links {
		table.Acquire(table.Home(unrelayed(i)))
	}
	octets := table.AppendBinary(nil)
	report := func(b *testing.B) { b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*links), "ns/link") }
	b.Run("append", func(b *testing.B) {
		room := make([]byte, 0, len(octets))
		for b.Loop() {
			table.AppendBinary(room)
		}
		report(b)
	})
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			if _, err := ParseTable(octets); err != nil {
				b.Fatal(err)
			}
		}
		report(b)
	})
}
