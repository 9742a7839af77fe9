package raftlog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// BenchmarkOpen opens logs of 256 MiB, of entries of two sizes: what a start costs before anything is read of the log, and how
// much of that is the inspection.
func BenchmarkOpen(b *testing.B) {
	for _, size := range []struct {
		name    string
		octets  int
		entries int
	}{{"4KiB", 4 << 10, 64 << 10}, {"128KiB", 128 << 10, 2 << 10}} {
		b.Run(size.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "raft.db")
			l := openTest(b, path)
			data := bytes.Repeat([]byte("lease"), size.octets/5)
			err := l.SetUint64([]byte("CurrentTerm"), 1)
			var batch []*raft.Log
			for i := range uint64(size.entries) {
				batch = append(batch, &raft.Log{Index: i + 1, Term: 1, Data: data})
				if len(batch) == 64 {
					err = errors.Join(err, l.StoreLogs(batch))
					batch = nil
				}
			}
			if err = errors.Join(err, l.Close()); err != nil {
				b.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			b.Run("inspect", func(b *testing.B) {
				for b.Loop() {
					if _, err := inspectFile(path); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(info.Size())/(1<<20), "MiB")
			})
			b.Run("whole", func(b *testing.B) {
				for b.Loop() {
					l, err := Open(path)
					if err := errors.Join(err, l.Close()); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
