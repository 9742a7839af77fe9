package dnsmasq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/leasehold/leasehold/feed/leasetest"
)

// line is a lease of an hour.
func line(n int) string {
	return fmt.Sprintf("%d %d 2001:db8::%x * 00:02:00:0%x\n", time.Now().Unix()+3600, n, n, n)
}

func has(numbers ...int) func(leasetest.Seen) bool {
	return func(s leasetest.Seen) bool {
		for _, n := range numbers {
			if _, ok := s.Leases[netip.MustParsePrefix(fmt.Sprintf("2001:db8::%x/128", n))]; !ok {
				return false
			}
		}
		return len(s.Leases) == len(numbers) && s.Resyncs > 0
	}
}

func TestFileIsBelievedWhenItIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases")
	write := func(text string) { t.Helper(); must(t, os.WriteFile(path, []byte(text), 0o600)) }
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	one, two := line(1), line(2)
	write("duid 00:01\n" + one + two)
	_, sink, stop := follow(t, Config{Leases: path})
	defer stop()
	must(t, sink.Await(ctx, "statement", has(1, 2)))

	write("duid 00:01\n" + one + two[:20]) // a write that is not finished ends nothing
	write("duid 00:01\n" + one + two + line(3))
	must(t, sink.Await(ctx, "third lease", has(1, 2, 3)))
	for _, step := range sink.Seen().Ends {
		t.Errorf("ended: %v", step)
	}
	write("duid 00:01\n" + two + "0 4 192.0.2.1 * *\n")
	must(t, sink.Await(ctx, "two ends", has(2)))
}

func TestEvents(t *testing.T) {
	dir := t.TempDir()
	path, socket := filepath.Join(dir, "leases"), filepath.Join(dir, "socket")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	args := []string{"add", "00:02:00:01", "2001:db8::1"}
	environment := []string{"DNSMASQ_IAID=1", "DNSMASQ_LEASE_EXPIRES=0", "DNSMASQ_RELAY_ADDRESS=2001:db8::ffff", "PATH=/"}
	sent := make(chan error, 1)
	go func() { sent <- SendEvent(ctx, socket, args, environment) }() // nobody listens yet: it tries again
	must(t, os.WriteFile(path, []byte("duid 00:01\n0 1 2001:db8::1 * 00:02:00:01\n"), 0o600))
	source, sink, stop := follow(t, Config{Leases: path, Socket: socket})
	must(t, <-sent)
	must(t, sink.Await(ctx, "relay", func(s leasetest.Seen) bool {
		return linkOf(s.Leases[netip.MustParsePrefix("2001:db8::1/128")]) == "2001:db8::ffff"
	}))
	if err := SendEvent(ctx, socket, []string{"add", "xx", "2001:db8::1"}, environment); !errors.Is(err, ErrEvent) {
		t.Errorf("a bad event: %v", err)
	}
	must(t, SendEvent(ctx, filepath.Join(dir, "nobody"), []string{"add", "02:00:5e:00:53:01", "192.0.2.1"}, nil)) // IPv4: not sent
	if totals := source.Totals(); totals.Events != 1 || totals.BadEvents != 1 || source.Condition().Refused != 1 {
		t.Errorf("%+v", totals)
	}
	stop()
	short, done := context.WithTimeout(ctx, 50*time.Millisecond)
	defer done()
	if err := SendEvent(short, socket, args, environment); err == nil {
		t.Error("an event was answered by nobody")
	}
}

func TestAFileThatChangesAllTheTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases")
	source, err := New(Config{Leases: path})
	must(t, err)
	sink := leasetest.NewSink(time.Time{})
	f := &following{source: source, sink: sink}
	look := func(text string, waited, since time.Duration, want ...string) {
		t.Helper()
		if text != "" {
			must(t, os.WriteFile(path, []byte(text), 0o600))
		}
		now := time.Now()
		f.waiting = now.Add(-waited)
		f.asked = now.Add(-since)
		before := len(sink.Seen().Steps)
		must(t, f.look(t.Context()))
		if got := sink.Seen().Steps[before:]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	one, two := line(1), line(2)
	look("duid 00:01\n"+one+two, 0, 0)
	look("duid 00:01\n"+two+one, hasty+1, 0, "upsert 2001:db8::1/128", "upsert 2001:db8::2/128") // it has changed since, and is believed
	look("duid 00:01\n"+one, hasty+1, 0)                                                         // but not for what it lacks
	if f.again <= 0 {
		t.Error("it is not read again")
	}
	look("", 0, time.Hour, "REASON_RELEASED 2001:db8::2/128") // until it has settled
	if f.again != 0 || f.candidate != nil {
		t.Errorf("it is read again and again: %+v", f)
	}
}

// TestNoDUIDNoLeases: dnsmasq writes its own DUID into its lease file as long as it does DHCPv6. A file without it, an empty one above
// all, is one that could not be written: of a full disk, say.
func TestNoDUIDNoLeases(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases")
	source, err := New(Config{Leases: path})
	must(t, err)
	sink := leasetest.NewSink(time.Time{})
	f := &following{source: source, sink: sink}
	look := func(text string, want ...string) {
		t.Helper()
		must(t, os.WriteFile(path, []byte(text), 0o600))
		before := len(sink.Seen().Steps)
		must(t, f.look(t.Context()))
		f.asked, f.waiting = f.asked.Add(-time.Hour), f.waiting.Add(-time.Hour)
		must(t, f.look(t.Context()))
		if got := sink.Seen().Steps[before:]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	look("duid 00:01\n"+line(1), "upsert 2001:db8::1/128")
	for _, text := range []string{"", "0 02:00:5e:00:53:01 192.0.2.9 host *\n"} {
		look(text)
		if c := source.Condition(); c.Trouble == "" {
			t.Errorf("%q is no trouble", text)
		}
	}
	look("duid 00:01\n", "REASON_RELEASED 2001:db8::1/128")
	if c := source.Condition(); c.Trouble != "" {
		t.Errorf("trouble: %s", c.Trouble)
	}
}

// TestEachBadLineIsReported: two lines that lack the same are two, and one that stays is one.
func TestEachBadLineIsReported(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases")
	var got []string
	source, err := New(Config{Leases: path, Report: func(e LineError) { got = append(got, fmt.Sprint(e.Line)) }})
	must(t, err)
	report := func(text string, want ...string) {
		t.Helper()
		got = nil
		s := parseLeases([]byte(text))
		source.report(s.problems)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	report("duid 00:01\n1 2 3\n4 5 6\n", "2", "3")
	report("duid 00:01\n0 1 2001:db8::1 * 00:02\n4 5 6\n1 2 3\n7 8 9\n", "5")
	if n := source.Totals().Refused; n != 3 {
		t.Errorf("%d refused", n)
	}
}

// brokenSocket cannot accept, as when the process has too many files open.
type brokenSocket struct {
	net.Listener
	closed bool
}

func (*brokenSocket) Accept() (net.Conn, error) { return nil, syscall.EMFILE }
func (b *brokenSocket) Close() error            { b.closed = true; return b.Listener.Close() }

// TestASocketThatFailsIsClosed: or the next one would find it in its place, and nobody there.
func TestASocketThatFailsIsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := listen(path, func(err error) { t.Error(err) })
	must(t, err)
	broken := &brokenSocket{Listener: l.socket}
	l.socket = broken
	if err := l.serve(t.Context()); !errors.Is(err, syscall.EMFILE) || !broken.closed {
		t.Errorf("%v, closed: %v", err, broken.closed)
	}
	l, err = listen(path, func(err error) { t.Error(err) })
	must(t, err)
	must(t, l.socket.Close())
}

// TestAHastyLookIsNoStatement: what was read once while it was written may lack leases, and a statement of it would end them.
func TestAHastyLookIsNoStatement(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases")
	source, err := New(Config{Leases: path})
	must(t, err)
	f := &following{source: source, sink: leasetest.NewSink(time.Time{}), due: true}
	for i, want := range []bool{false, true} {
		must(t, os.WriteFile(path, []byte("duid 00:01\n"+line(i+1)), 0o600))
		f.waiting = time.Now().Add(-hasty - 1)
		must(t, f.look(t.Context()))
		if f.believed == nil || f.sure() != want {
			t.Errorf("look %d: sure %v", i, f.sure())
		}
	}
}
