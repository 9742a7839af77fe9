package kea

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// witness keeps what a follower says, for tests that wait for it.
type witness struct {
	mu      sync.Mutex
	news    chan struct{} // closed and made anew when something was said
	leases  map[string]string
	fresh   map[string]string
	ends    int
	events  int
	doubts  []string
	reports []*LineError
}

func newWitness() *witness { return &witness{news: make(chan struct{}), leases: map[string]string{}} }

func (w *witness) out(_ context.Context, c chunk) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	into := w.leases
	switch {
	case c.begin != nil:
		w.fresh = map[string]string{}
	case c.end:
		w.leases, w.fresh = w.fresh, nil
		w.ends++
	case c.doubt != "":
		w.doubts = append(w.doubts, c.doubt)
	}
	if w.fresh != nil {
		into = w.fresh
	}
	for i := range c.rows {
		r := &c.rows[i]
		if c.events {
			w.events++
		}
		if r.leased() {
			into[r.prefix.Addr().String()] = rowText(*r)
		} else {
			delete(into, r.prefix.Addr().String())
		}
	}
	close(w.news)
	w.news = make(chan struct{})
	return nil
}

// await waits until a condition holds. It is looked at under the lock.
func (w *witness) await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	late := time.After(2 * time.Minute)
	for {
		w.mu.Lock()
		news, ok := w.news, holds()
		w.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-news:
		case <-late:
			t.Fatalf("%s: does not come; %d statements, %d events, %d leases, doubts %q", what, w.ends, w.events, len(w.leases), w.doubts)
		}
	}
}

// watch runs a follower until the test ends.
func watch(t testing.TB, path string, ring <-chan struct{}) (*follower, *witness) {
	t.Helper()
	w := newWitness()
	f := newFollower(followConfig{path: path, report: func(e *LineError) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.reports = append(w.reports, e)
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.read(ctx, ring, w.out) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the follower ended with %v", err)
		}
	})
	return f, w
}

// lastRows is what the reader of lines makes of files that do not change any more, one after the other.
func lastRows(t testing.TB, paths ...string) map[string]string {
	t.Helper()
	leases := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var p parser
		for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
			if i == 0 {
				if p.columns, err = parseHeader([]byte(line)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err := p.parse([]byte(line)); err != nil {
				t.Fatal(err)
			}
			a := p.row.prefix.Addr().String()
			if delete(leases, a); p.row.leased() {
				leases[a] = rowText(p.row.clone())
			}
		}
	}
	return leases
}

// appendText writes as Kea does: whatever there is, at once.
func appendText(t testing.TB, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFollowerBesideKeaLFC rotates with Kea's own cleanup while rows are written, and plays the samples of 2.2 and 3.3.
func TestFollowerBesideKeaLFC(t *testing.T) {
	lfc, err := exec.LookPath("kea-lfc")
	if err != nil {
		t.Skip("kea-lfc is not installed (Debian package kea-dhcp6-server)")
	}
	text, err := os.ReadFile("testdata/kea-2.2/kea-leases6.csv")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	path := filepath.Join(t.TempDir(), "kea-leases6.csv")
	f, w := watch(t, path, nil)
	all := filepath.Join(t.TempDir(), "all.csv") // the same lines, never rotated
	appendText(t, path, lines[0])
	appendText(t, all, lines[0])
	for i, line := range lines[1 : len(lines)-1] {
		appendText(t, path, line)
		appendText(t, all, line)
		if i%200 != 100 {
			continue
		}
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		appendText(t, path, lines[0])
		command := exec.CommandContext(t.Context(), lfc, "-6", "-x", path+".2", "-i", path+".1", "-o", path+".output", "-f", path+".completed",
			"-c", path, "-p", path+".pid")
		command.Env = append(os.Environ(), "KEA_LOCKFILE_DIR=none", "KEA_LOGGER_DESTINATION=stdout")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("kea-lfc: %v\n%s", err, out)
		}
	}
	want := lastRows(t, all)
	w.await(t, "what all lines together say", func() bool { return w.fresh == nil && cmp.Equal(want, w.leases) })
	if len(want) < 500 || len(w.reports) > 0 || len(w.doubts) > 0 {
		t.Errorf("%d leases, reports %v, doubts %q", len(want), w.reports, w.doubts)
	}
	t.Logf("%+v", f.counts())
}

// TestFollowerReadsTheSamples begins at each of some lines of the samples: the rest is appended.
func TestFollowerReadsTheSamples(t *testing.T) {
	for _, folder := range []string{"testdata/kea-2.2", "testdata/kea-3.3", "testdata/kea-2.2/rotated"} {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			source := filepath.Join(folder, "kea-leases6.csv")
			text, err := os.ReadFile(source)
			if err != nil {
				t.Fatal(err)
			}
			want := lastRows(t, source+".2", source+".1", source)
			for part := range 4 {
				path := filepath.Join(t.TempDir(), "kea-leases6.csv")
				for _, suffix := range []string{".2", ".1"} {
					if older, err := os.ReadFile(source + suffix); err == nil {
						appendText(t, path+suffix, string(older))
					}
				}
				cut := len(text) * part / 4
				appendText(t, path, string(text[:cut]))
				_, w := watch(t, path, nil)
				if cut > 0 {
					w.await(t, "the first statement", func() bool { return w.ends > 0 })
				}
				appendText(t, path, string(text[cut:]))
				w.await(t, "the leases of the sample", func() bool { return cmp.Equal(want, w.leases) })
				if len(w.reports) > 0 || len(w.doubts) > 0 {
					t.Errorf("reports %v, doubts %q", w.reports, w.doubts)
				}
			}
		})
	}
}

func TestFollowerWaitsForKea(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "lib", "kea")
	path := filepath.Join(folder, "kea-leases6.csv")
	f, w := watch(t, path, nil)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	appendText(t, path, sampleHeader[:20])
	until(t, "that there is no header", func() bool { return strings.Contains(f.trouble(), ErrHeader.Error()) })
	appendText(t, path, sampleHeader[20:]+sampleRow(nil)[:30])
	w.await(t, "an empty statement", func() bool { return w.ends == 1 && len(w.leases) == 0 })
	appendText(t, path, sampleRow(nil)[30:])
	w.await(t, "the lease", func() bool { return len(w.leases) == 1 && w.events == 1 })
	until(t, "that there is no trouble", func() bool { return f.trouble() == "" })
	if len(w.reports) > 0 {
		t.Errorf("reports %v", w.reports)
	}
}

func TestFollowerGivesAStatementWhenAsked(t *testing.T) {
	path := writeFile(t, "kea-leases6.csv", sampleHeader+sampleRow(nil)+"nonsense\n")
	ring := make(chan struct{})
	f, w := watch(t, path, ring)
	for n := 1; n <= 3; n++ {
		w.await(t, "a statement", func() bool { return w.ends == n && len(w.leases) == 1 && len(w.doubts) == n })
		ring <- struct{}{}
	}
	w.await(t, "the last statement", func() bool { return w.ends == 4 })
	if len(w.reports) != 1 || f.refused() != 1 || w.events > 0 {
		t.Errorf("reports %v, refused %d, %d events", w.reports, f.refused(), w.events)
	}
}

// TestFollowerAfterAnOperator: what an operator does to the file is noticed, told as doubt where Kea's memory may have more, and ends
// with what is in the files.
func TestFollowerAfterAnOperator(t *testing.T) {
	row := func(i int) string { return sampleRow(map[string]string{"address": fmt.Sprintf("2001:db8::%x", i)}) }
	old := strings.Join(strings.Split(sampleHeader, ",")[:17], ",") + "\n" // schema 4.0
	oldRow := func(i int) string { return strings.Join(strings.Split(row(i), ",")[:17], ",") + "\n" }
	move := func(t *testing.T, path, text string) {
		t.Helper()
		appendText(t, path+".new", text)
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		deed   func(t *testing.T, path string)
		leases int
		doubt  string
	}{
		"truncated": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(sampleHeader+row(9)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, 1, "truncated"},
		"restored in its place": {func(t *testing.T, path string) {
			file, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.WriteString(sampleHeader + row(5) + row(6) + row(7) + row(8) + row(9) + row(10)); err != nil {
				t.Fatal(err)
			}
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
		}, 6, "anew"},
		"replaced":                            {func(t *testing.T, path string) { move(t, path, sampleHeader+row(8)+row(9)) }, 2, "not by Kea"},
		"replaced by one of the older schema": {func(t *testing.T, path string) { move(t, path, old+oldRow(9)) }, 1, "not by Kea"},
		"rotated into the older schema": {func(t *testing.T, path string) {
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			appendText(t, path, old+oldRow(9))
		}, 5, ""},
		"a glued row":    {func(t *testing.T, path string) { appendText(t, path, row(8)[:40]+row(9)+row(10)) }, 5, "wrong number of columns"},
		"octets of zero": {func(t *testing.T, path string) { appendText(t, path, strings.Repeat("\x00", 4096)+row(9)+row(10)) }, 5, "address"},
		"many octets of zero": {func(t *testing.T, path string) {
			appendText(t, path, strings.Repeat("\x00", 3*maxLine))
			appendText(t, path, strings.Repeat("\x00", 3*maxLine)+row(9)+row(10))
		}, 5, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, "kea-leases6.csv", sampleHeader+row(1)+row(2)+row(3)+row(4))
			_, w := watch(t, path, nil)
			w.await(t, "the first statement", func() bool { return w.ends == 1 && len(w.leases) == 4 })
			tc.deed(t, path)
			w.await(t, "what is in the files", func() bool {
				return w.fresh == nil && len(w.leases) == tc.leases && (tc.doubt == "") == (len(w.doubts) == 0)
			})
			if tc.doubt != "" && !strings.Contains(w.doubts[0], tc.doubt) {
				t.Errorf("doubts %q, want one of %q", w.doubts, tc.doubt)
			}
		})
	}
}

// TestFollowerOfARemovedFile: Kea goes on writing to it, and makes another when it is time for LFC.
func TestFollowerOfARemovedFile(t *testing.T) {
	path := writeFile(t, "kea-leases6.csv", sampleHeader+sampleRow(nil))
	_, w := watch(t, path, nil)
	w.await(t, "the first statement", func() bool { return w.ends == 1 })
	kea, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer kea.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := kea.WriteString(sampleRow(map[string]string{"address": "2001:db8::2"})); err != nil {
		t.Fatal(err)
	}
	w.await(t, "a row of the removed file, and the doubt", func() bool { return len(w.leases) == 2 && len(w.doubts) == 1 })
	appendText(t, path, sampleHeader+sampleRow(map[string]string{"address": "2001:db8::3"}))
	w.await(t, "the new file", func() bool { return w.ends == 2 && len(w.leases) == 1 })
}

// TestFollowerOfAFileThatIsEmptied: Kea goes on writing where it was, so that the file begins with octets of zero. No statement can be
// made of it, and what Kea writes is told all the same.
func TestFollowerOfAFileThatIsEmptied(t *testing.T) {
	path := writeFile(t, "kea-leases6.csv", sampleHeader+sampleRow(nil))
	appendText(t, path+".2", sampleHeader+sampleRow(map[string]string{"address": "2001:db8::ff"})) // which lacks what is newer
	kea, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer kea.Close()
	if _, err := kea.Seek(0, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	f, w := watch(t, path, nil)
	w.await(t, "the first statement", func() bool { return w.ends == 1 })
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	w.await(t, "the doubt", func() bool { return len(w.doubts) == 1 })
	until(t, "that there is no header", func() bool { return strings.Contains(f.trouble(), ErrHeader.Error()) })
	for i := range 3 {
		if _, err := kea.WriteString(sampleRow(map[string]string{"address": fmt.Sprintf("2001:db8::%d", i+2)})); err != nil {
			t.Fatal(err)
		}
	}
	w.await(t, "all but the row that has the octets of zero", func() bool { return w.events >= 2 })
	if w.ends != 1 {
		t.Errorf("%d statements", w.ends)
	}
}

func TestFollowerOfWhatIsNoLeaseFile(t *testing.T) {
	path := writeFile(t, "kea-leases6.csv", "address,hwaddr,client_id\n192.0.2.1,,\n")
	f := newFollower(followConfig{path: path})
	g := newStage(nil, func(*stage, bool) int { return 0 })
	g.endless, g.stop = true, func(call int) bool { return call == 400 }
	f.disk, f.clock, f.newBell = g, func() time.Time { return g.now }, func() bell { return g }
	begun := g.now
	if err := g.play(t.Context(), f, newAudit(newServer(path))); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if !strings.Contains(f.trouble(), path+":1: ") || g.now.Sub(begun) < longestRest {
		t.Errorf("trouble %q after %v", f.trouble(), g.now.Sub(begun))
	}
}
