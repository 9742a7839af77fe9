package kea

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// BenchmarkParse parses the lines of the sample of Kea 3.3, all its relay data included.
func BenchmarkParse(b *testing.B) {
	text, err := os.ReadFile("testdata/kea-3.3/kea-leases6.csv")
	if err != nil {
		b.Fatal(err)
	}
	rows := bytes.Split(bytes.TrimSpace(text), []byte{'\n'})
	var p parser
	if p.columns, err = parseHeader(rows[0]); err != nil {
		b.Fatal(err)
	}
	rows = rows[1:]
	b.SetBytes(int64(len(text) / len(rows)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := p.parse(rows[i%len(rows)]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// nowhere is a feed.Sink that drops everything.
type nowhere struct{ now time.Time }

func (nowhere) Expect(int64)                            {}
func (n nowhere) Now() time.Time                        { return n.now }
func (nowhere) BeginResync(context.Context, bool) error { return nil }
func (nowhere) EndResync(context.Context) error         { return nil }

// Receipt is of nobody: what is recorded is as good as acknowledged.
func (nowhere) Receipt(context.Context) (<-chan struct{}, error) {
	c := make(chan struct{})
	close(c)
	return c, nil
}

func (nowhere) Flush(context.Context) error                    { return nil }
func (nowhere) Change(context.Context, *ingestv1.Change) error { return nil }

// BenchmarkMemfile reads a lease file of a million lines of half as many leases: both passes.
func BenchmarkMemfile(b *testing.B) {
	const leases, writes = 500_000, 2
	path := writeLarge(b, leases, writes)
	b.ReportAllocs()
	for b.Loop() {
		m, err := NewMemfile(Config{Files: []string{path}})
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Run(b.Context(), nowhere{time.Unix(0, 0)}); err != nil {
			b.Fatal(err)
		}
		if got := m.Totals().Leases; got != leases {
			b.Fatalf("%d leases, want %d", got, leases)
		}
	}
	b.ReportMetric(float64(leases*writes*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// writeLarge writes a file of lines like the sample's, each lease several times.
func writeLarge(b *testing.B, leases, writes int) string {
	b.Helper()
	file, err := os.Create(b.TempDir() + "/kea-leases6.csv")
	if err != nil {
		b.Fatal(err)
	}
	out := newRowWriter(file)
	for range writes {
		for i := range leases {
			out.write(i)
		}
	}
	if err := out.close(); err != nil {
		b.Fatal(err)
	}
	return file.Name()
}
