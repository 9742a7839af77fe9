package jsonlines

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is a sink that writes down what is stated and when it is flushed, and acknowledges when it is told to.
type book struct {
	said     []string
	unsent   int
	receipts []chan struct{}
	hold     bool // do not acknowledge
}

func (b *book) Expect(int64) {}
func (b *book) BeginResync(_ context.Context, links bool) error {
	b.said = append(b.said, fmt.Sprintf("begin %v", links))
	return nil
}
func (b *book) EndResync(context.Context) error { b.said = append(b.said, "complete"); return nil }
func (b *book) Now() time.Time                  { return time.Now() }
func (b *book) Flush(context.Context) error     { b.unsent = 0; return nil }
func (b *book) Change(_ context.Context, c *ingestv1.Change) error {
	b.unsent++
	switch c := c.GetChange().(type) {
	case *ingestv1.Change_Upsert:
		a, _ := netip.AddrFromSlice(c.Upsert.GetAddress())
		b.said = append(b.said, fmt.Sprintf("lease %v age %d stamp %d", a, c.Upsert.GetAgeMs(), c.Upsert.GetStamp()))
	case *ingestv1.Change_End:
		a, _ := netip.AddrFromSlice(c.End.GetAddress())
		b.said = append(b.said, fmt.Sprintf("end %v age %d", a, c.End.GetAgeMs()))
	case *ingestv1.Change_DefineLink:
		b.said = append(b.said, "link "+c.DefineLink.GetLabel())
	case *ingestv1.Change_RemoveLink:
		b.said = append(b.said, "remove "+c.RemoveLink)
	}
	return nil
}
func (b *book) Receipt(ctx context.Context) (<-chan struct{}, error) {
	c := make(chan struct{})
	b.unsent = 0
	if b.receipts = append(b.receipts, c); !b.hold {
		close(c)
	}
	return c, nil
}

func leaseLine(n int, more string) string {
	return fmt.Sprintf(`{"address":"2001:db8::%x","duid":"0003","iaid":1,"valid":60%s}`+"\n", n, more)
}

// result is what came of a run.
type result struct {
	book   *book
	acked  []int
	bad    []string
	totals Totals
	err    error
}

// run reads an input to its end.
func run(t *testing.T, config Config) (r result) {
	r.book = &book{}
	config.Acknowledged = func(line int) { r.acked = append(r.acked, line) }
	config.Report = func(e *LineError) { r.bad = append(r.bad, e.Error()) }
	s := New(config)
	defer s.Close()
	r.err = s.Run(t.Context(), r.book)
	r.totals = s.Totals()
	return r
}

func wantSaid(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("stated\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRunStatesWhatItReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Unix()
		in := "# a comment\n\n" + leaseLine(1, `,"age_seconds":10`) + `{"change":"end","address":"2001:db8::2","age_seconds":2}` + "\r\n" + leaseLine(3, `,"vaild":1`) +
			`{"change":"link","link":"x","prefixes":["2001:db8::/64"]}` + "\n" + `{"change":"remove-link","link":"x"}` + "\n" +
			leaseLine(4, fmt.Sprintf(`,"last_transaction":%d`, now+3600)) + strings.TrimSpace(leaseLine(5, ""))
		r := run(t, Config{Input: strings.NewReader(in)})
		if r.err != nil {
			t.Fatal(r.err)
		}
		wantSaid(t, r.book.said, fmt.Sprintf("lease 2001:db8::1 age 10000 stamp %d", now-10), "end 2001:db8::2 age 2000", "link x", "remove x",
			fmt.Sprintf("lease 2001:db8::4 age -3600000 stamp %d", now+3600), fmt.Sprintf("lease 2001:db8::5 age 0 stamp %d", now))
		wantSaid(t, r.bad, "line 5: vaild: bad line: unknown")
		if r.acked[len(r.acked)-1] != 9 || r.totals != (Totals{Lines: 7, Refused: 1}) {
			t.Errorf("acknowledged %v, %+v", r.acked, r.totals)
		}
	})
}

func TestFullStatements(t *testing.T) {
	begin, complete, bad := `{"change":"begin","links":true}`+"\n", `{"change":"complete"}`+"\n", "{}\n"
	for _, tc := range []struct {
		name, in   string
		resync     bool
		ends       string // what is stated last
		begins     int
		refused    uint64
		incomplete uint64
	}{
		{"in the input", begin + leaseLine(1, "") + complete, false, "complete", 1, 0, 0},
		{"twice", begin + complete + begin + complete, false, "complete", 2, 0, 0},
		{"begun anew", begin + leaseLine(1, "") + begin + complete, false, "complete", 2, 0, 0},
		{"the whole input", leaseLine(1, ""), true, "complete", 1, 0, 0},
		{"an input of nothing", "", true, "complete", 1, 0, 0},
		{"with a bad line", begin + leaseLine(1, "") + bad + complete + leaseLine(2, ""), false, "lease 2001:db8::2", 1, 1, 1},
		{"a bad line before it", bad + begin + complete, false, "complete", 1, 1, 0},
		{"after one with a bad line", begin + bad + complete + begin + complete, false, "complete", 2, 1, 1},
		{"without its end", begin + leaseLine(1, ""), false, "lease 2001:db8::1", 1, 0, 1},
		{"the whole input with a bad line", bad + leaseLine(1, ""), true, "lease 2001:db8::1", 1, 1, 1},
		{"the whole input cut within a line", leaseLine(1, "") + leaseLine(2, "")[:30], true, "lease 2001:db8::1", 1, 1, 1},
		{"in an input that is one", begin + leaseLine(1, ""), true, "lease 2001:db8::1", 1, 1, 1},
		{"an end without begin", leaseLine(1, "") + complete, false, "lease 2001:db8::1", 0, 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := run(t, Config{Input: strings.NewReader(tc.in), Resync: tc.resync, Links: true})
			if r.err != nil {
				t.Fatal(r.err)
			}
			begins := 0
			for _, s := range r.book.said {
				if s == "begin true" {
					begins++
				}
			}
			if last := r.book.said[len(r.book.said)-1]; !strings.HasPrefix(last, tc.ends) || begins != tc.begins {
				t.Errorf("stated %q, want %d begins and %q last", r.book.said, tc.begins, tc.ends)
			}
			if r.totals.Refused != tc.refused || r.totals.Incomplete != tc.incomplete {
				t.Errorf("%+v, want %d refused, %d incomplete; %q", r.totals, tc.refused, tc.incomplete, r.bad)
			}
		})
	}
}

// TestLinesAreFlushedSoon writes lines one by one: what was read is sent within 20 ms, whatever is unacknowledged.
func TestLinesAreFlushedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		b := &book{hold: true}
		s := New(Config{Input: in})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, b) }()
		for i := range 20 {
			if _, err := io.WriteString(out, leaseLine(i+1, "")); err != nil {
				t.Fatal(err)
			}
			wait := time.NewTimer(20 * time.Millisecond)
			<-wait.C
			synctest.Wait()
			if len(b.said) != i+1 || b.unsent != 0 {
				t.Fatalf("20 ms after line %d: %d stated, %d of them not sent", i+1, len(b.said), b.unsent)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("end: %v", err)
		}
		s.Close()
		in.Close()
	})
}

// TestUnacknowledgedLinesAreStatedAgain ends a run as a lost session does. The next one states again what was not acknowledged, with
// ages that have grown.
func TestUnacknowledgedLinesAreStatedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		s := New(Config{Input: in})
		first, second := &book{hold: true}, &book{}
		ctx, lose := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, first) }()
		write := func(line string) {
			if _, err := io.WriteString(out, line); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		write(leaseLine(1, ""))
		close(first.receipts[0]) // line 1 is acknowledged
		write(leaseLine(2, ""))
		stamp := time.Now().Unix()
		wait := time.NewTimer(3 * time.Second)
		<-wait.C
		lose()
		<-ended
		go func() { ended <- s.Run(t.Context(), second) }()
		synctest.Wait()
		write(leaseLine(3, ""))
		out.Close()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		wantSaid(t, second.said, fmt.Sprintf("lease 2001:db8::2 age 3000 stamp %d", stamp), fmt.Sprintf("lease 2001:db8::3 age 0 stamp %d", stamp+3))
		s.Close()
	})
}

// TestASessionLostWithinAFullStatement cannot be mended: the lines before are gone.
func TestASessionLostWithinAFullStatement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		defer out.Close()
		s := New(Config{Input: in})
		defer s.Close()
		defer in.Close()
		ctx, lose := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, &book{}) }()
		if _, err := io.WriteString(out, `{"change":"begin"}`+"\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		lose()
		<-ended
		if err := s.Run(t.Context(), &book{}); !errors.Is(err, ErrStatementLost) {
			t.Errorf("run again: %v", err)
		}
	})
}

// TestAnInputThatFails is an error, after what was read before is acknowledged.
func TestAnInputThatFails(t *testing.T) {
	broken := errors.New("disk on fire")
	r := run(t, Config{Resync: true, Input: io.MultiReader(strings.NewReader(leaseLine(1, "")+leaseLine(2, "")[:20]), failing{broken})})
	if !errors.Is(r.err, ErrInput) || !errors.Is(r.err, broken) || len(r.book.said) != 2 || r.totals.Incomplete != 1 || r.acked[len(r.acked)-1] != 1 {
		t.Errorf("error %v, stated %q, %+v, acknowledged %v", r.err, r.book.said, r.totals, r.acked)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestLongLines are read over, up to the octet.
func TestLongLines(t *testing.T) {
	pad := func(n int) string {
		s := strings.TrimSpace(leaseLine(1, ""))
		return s + strings.Repeat(" ", n-1-len(s)) + "\n"
	}
	r := run(t, Config{Input: strings.NewReader(pad(MaxLine) + pad(MaxLine+1) + pad(3*MaxLine) + leaseLine(2, ""))})
	if r.err != nil || len(r.book.said) != 2 || r.totals.Refused != 2 || !strings.HasPrefix(r.bad[1], "line 3: bad line: longer than") {
		t.Errorf("error %v, stated %q, %q", r.err, r.book.said, r.bad)
	}
}

// TestAFloodOfBadLines is counted and reported whole; the log names the first of them.
func TestAFloodOfBadLines(t *testing.T) {
	var log strings.Builder
	r := run(t, Config{Input: strings.NewReader(strings.Repeat("x\n", 1000) + leaseLine(1, "")), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if r.totals.Refused != 1000 || len(r.bad) != 1000 || len(r.book.said) != 1 {
		t.Errorf("%+v, %d reports, stated %q", r.totals, len(r.bad), r.book.said)
	}
	if n := strings.Count(log.String(), "\n"); n != maxLogged+1 || !strings.Contains(log.String(), "line=100 ") {
		t.Errorf("%d lines of log", n)
	}
}

// FuzzInput reads any input: it ends, and each line is taken, refused, or neither a lease nor wrong.
func FuzzInput(f *testing.F) {
	f.Add([]byte(leaseLine(1, "") + "\n#\n" + full + "\n{}\n"))
	f.Add([]byte(`{"change":"begin"}` + "\n" + leaseLine(1, "") + `{"change":"complete"}` + "\n\x00\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := run(t, Config{Input: strings.NewReader(string(in))})
		if r.err != nil {
			t.Fatalf("%q: %v", in, r.err)
		}
		if taken := uint64(len(r.book.said)) + r.totals.Refused + r.totals.Incomplete; taken < r.totals.Lines || len(r.bad) != int(r.totals.Refused) {
			t.Fatalf("%q: %d lines, %d stated, %d refused, reports %q", in, r.totals.Lines, len(r.book.said), r.totals.Refused, r.bad)
		}
	})
}

// TestChangesAreNotShared wants what was parsed to be of no other line.
func TestChangesAreNotShared(t *testing.T) {
	a, err := parse([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	b, err := parse([]byte(full))
	if err != nil || !proto.Equal(a.change, b.change) || a.change == b.change {
		t.Errorf("two parses of one line: %v", err)
	}
}
