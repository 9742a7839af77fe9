package kea

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// FuzzFollow appends octets in pieces, whatever they are, to a lease file while it is followed. Each line that cannot be used is
// reported once with its place, and every other one has its effect.
func FuzzFollow(f *testing.F) {
	row := sampleRow(nil)
	second := sampleRow(map[string]string{"address": "2001:db8::2", "iaid": "9"})
	end := sampleRow(map[string]string{"valid_lifetime": "0"})
	for _, text := range []string{row, row + second + end, row[:50] + second + row, "\x00\x00\x00" + row + second, "\n\n" + row + "\r\n", row + second[:30],
		sampleHeader + row, ",,,,\n" + row, row + "x\n\n" + end + "y"} {
		f.Add([]byte(text), []byte{1, 40, 200, 3})
		f.Add([]byte(text), []byte{255})
	}
	f.Fuzz(func(t *testing.T, text, pieces []byte) {
		path := filepath.Join(t.TempDir(), "kea-leases6.csv")
		if err := os.WriteFile(path, []byte(sampleHeader), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var script []func() error
		for rest, i := text, 0; len(rest) > 0; i++ {
			n := len(rest)
			if len(pieces) > 0 {
				n = min(n, 1+int(pieces[i%len(pieces)]))
			}
			piece := rest[:n]
			rest = rest[n:]
			script = append(script, func() error { _, err := file.Write(piece); return err })
		}
		g := newStage(script, func(g *stage, _ bool) int { return g.calls % 2 })
		w := newWitness()
		follower := g.follower(path)
		var bad []int
		follower.config.report = func(e *LineError) {
			if e.File != path {
				t.Errorf("%v is said of another file", e)
			}
			if !e.Kept {
				bad = append(bad, e.Line)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		g.cancel = cancel
		if err := follower.read(ctx, nil, w.out); !errors.Is(err, errSettled) {
			t.Fatal(err)
		}
		leases, wrong := linesAlone(t, text)
		slices.Sort(bad)
		if !maps.Equal(leases, w.leases) || !slices.Equal(wrong, bad) || (len(bad) > 0) != (len(w.doubts) > 0) {
			t.Errorf("leases %v, bad lines %v, doubts %q; want %v, %v", w.leases, bad, w.doubts, leases, wrong)
		}
	})
}

// linesAlone reads the whole lines behind a header, each by itself.
func linesAlone(t *testing.T, text []byte) (leases map[string]string, bad []int) {
	t.Helper()
	leases = map[string]string{}
	lines := bytes.Split(text, []byte{'\n'})
	for i, line := range lines[:len(lines)-1] {
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) == 0 {
			continue
		}
		var p parser
		var err error
		if p.columns, err = parseHeader(bytes.TrimSpace([]byte(sampleHeader))); err != nil {
			t.Fatal(err)
		}
		if err := p.parse(line); err != nil {
			bad = append(bad, i+2)
			continue
		}
		a := p.row.prefix.Addr().String()
		if delete(leases, a); p.row.leased() {
			leases[a] = rowText(p.row.clone())
		}
	}
	return leases, bad
}

func TestFollowerOfAFilePieceByPiece(t *testing.T) {
	long := bytes.Repeat([]byte{'x'}, 2*maxLine+7)
	text := slices.Concat([]byte(sampleRow(nil)), long, []byte("\n"), []byte(sampleRow(map[string]string{"address": "2001:db8::2"})), long)
	path := writeFile(t, "kea-leases6.csv", sampleHeader)
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var script []func() error
	for piece := range slices.Chunk(text, 10_007) {
		script = append(script, func() error { _, err := file.Write(piece); return err })
	}
	g := newStage(script, func(*stage, bool) int { return 1 })
	w, follower, bad := newWitness(), g.follower(path), []int(nil)
	follower.config.report = func(e *LineError) {
		bad = append(bad, e.Line)
		if !errors.Is(e, ErrTooLong) {
			t.Error(e)
		}
	}
	if err := follower.read(t.Context(), nil, w.out); !errors.Is(err, errSettled) {
		t.Fatal(err)
	}
	if !slices.Equal(bad, []int{3, 5}) || len(w.leases) != 2 {
		t.Errorf("bad lines %v, %d leases", bad, len(w.leases))
	}
}

// BenchmarkFollow tells the lines of a file as events. The reference, in the same run, only finds the ends of the lines.
func BenchmarkFollow(b *testing.B) {
	const rows = 200_000
	path := writeLarge(b, rows, 1)
	ahead := func(b *testing.B) *following {
		file, err := realDisk{}.open(path)
		if err != nil {
			b.Fatal(err)
		}
		r, err := newReading(file)
		if err != nil {
			b.Fatal(err)
		}
		s := &following{follower: newFollower(followConfig{path: path}), ctx: b.Context(), lines: newLines()}
		s.tail = &chain{disk: realDisk{}, clock: time.Now, path: path, files: []*reading{r}}
		return s
	}
	b.Run("tail", func(b *testing.B) {
		s := ahead(b)
		defer s.close()
		b.ReportAllocs()
		told := 0
		s.out = func(c chunk) error { told += len(c.rows); return nil }
		for b.Loop() {
			s.tail.files[0].next, s.tail.files[0].columns = mark{}, columns{}
			if err := s.advance(); err != nil {
				b.Fatal(err)
			}
		}
		if told != rows*b.N {
			b.Fatalf("%d rows", told)
		}
		b.ReportMetric(float64(told)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("reference", func(b *testing.B) {
		l, found := newLines(), 0
		for b.Loop() {
			file, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			l.in.Reset(file)
			for {
				if _, err := l.in.ReadSlice('\n'); err != nil {
					break
				}
				found++
			}
			if err := file.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(found)/b.Elapsed().Seconds(), "rows/s")
	})
}

// BenchmarkFollowDelay writes a row at a time, and waits until it was told.
func BenchmarkFollowDelay(b *testing.B) {
	path := filepath.Join(b.TempDir(), "kea-leases6.csv")
	if err := os.WriteFile(path, []byte(sampleHeader), 0o600); err != nil {
		b.Fatal(err)
	}
	told := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() {
		done <- newFollower(followConfig{path: path}).read(ctx, nil, func(_ context.Context, c chunk) error {
			if c.end || c.events {
				told <- struct{}{}
			}
			return nil
		})
	}()
	defer func() { cancel(); <-done }()
	<-told
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	var delays []time.Duration
	for b.Loop() {
		begun := time.Now()
		if _, err := file.WriteString(sampleRow(nil)); err != nil {
			b.Fatal(err)
		}
		<-told
		delays = append(delays, time.Since(begun))
	}
	slices.Sort(delays)
	b.ReportMetric(float64(delays[len(delays)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(delays[len(delays)*99/100].Microseconds()), "p99-µs")
}
