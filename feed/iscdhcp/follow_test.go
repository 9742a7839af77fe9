package iscdhcp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/feed/doorbell"
)

var followNow = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

// block is a block as dhcpd writes it.
func block(kind, key, address, state string, minute int) string {
	inner := "iaaddr"
	if kind == "ia-pd" {
		inner = "iaprefix"
	}
	return fmt.Sprintf("%s %s {\n  cltt 1 2026/11/23 09:%02d:00;\n  %s %s {\n    binding state %s;\n    preferred-life 3600;\n    max-life 7200;\n    ends 1 2026/11/23 11:%02d:00;\n  }\n}\n\n",
		kind, key, minute, inner, address, state, minute)
}

func na(client byte, address, state string, minute int) string {
	return block("ia-na", fmt.Sprintf(`"\001\000\000\000\000\002\000\000~\331%c"`, client), "2001:db8::"+address, state, minute)
}

const head = "# comment { \" ;\nauthoring-byte-order little-endian;\nserver-duid \"\\000\\001{;\";\n\n"

func appendTo(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func requireSteps(t *testing.T, got []string, from int, want ...string) int {
	t.Helper()
	if !slices.Equal(got[from:], want) {
		t.Errorf("steps %q, want %q", got[from:], want)
	}
	return len(got)
}

func TestFollow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dhcpd6.leases")
	r := run(t, Config{Leases: file}, followNow)
	n := requireSteps(t, r.sink.Seen().Steps, 0)
	if c := r.source.Condition(); c.Trouble == "" {
		t.Error("no trouble without a file")
	}

	appendTo(t, file, head+na('a', "a", "active", 1)+na('b', "b", "active", 1)+na('b', "b", "released", 2)+na('x', "a", "expired", 2))
	n = requireSteps(t, r.look(doorbell.Changed).Steps, n, "begin links=false", "upsert 2001:db8::a/128", "end")
	if c := r.source.Condition(); c.Trouble != "" {
		t.Errorf("trouble: %s", c.Trouble)
	}
	n = requireSteps(t, r.look(doorbell.Late).Steps, n)

	// A block that comes in pieces is stated when it is whole.
	text := na('c', "c", "active", 3)
	for i := range len(text) - 2 { // up to its last "}"
		if i%17 == 0 {
			n = requireSteps(t, r.look(doorbell.Changed).Steps, n)
		}
		appendTo(t, file, text[i:i+1])
	}
	appendTo(t, file, text[len(text)-2:])
	n = requireSteps(t, r.look(doorbell.Changed).Steps, n, "upsert 2001:db8::c/128")

	// What is written to the old file up to its replacement is an event; then everything of the new one counts.
	appendTo(t, file, na('a', "a", "released", 4)+na('d', "d", "abandoned", 4))
	next := file + ".new"
	appendTo(t, next, head+na('c', "c", "active", 3)+na('e', "e", "active", 5))
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
	n = requireSteps(t, r.look(doorbell.Changed).Steps, n, "REASON_RELEASED 2001:db8::a/128", "REASON_DECLINED 2001:db8::d/128",
		"begin links=false", "upsert 2001:db8::c/128", "upsert 2001:db8::e/128", "end")

	// A bad block costs itself, and is reported once, however often the file is read.
	appendTo(t, file, strings.Replace(na('f', "f", "active", 6), "7200", "often", 1)+na('g', "1", "active", 6))
	n = requireSteps(t, r.look(doorbell.Changed).Steps, n, "upsert 2001:db8::1/128")
	n = requireSteps(t, r.look(doorbell.Rung).Steps, n, "begin links=false", "upsert 2001:db8::1/128", "upsert 2001:db8::c/128", "upsert 2001:db8::e/128", "end")
	if len(r.bad) != 1 || !strings.Contains(r.bad[0], "dhcpd6.leases:30: not a number in range: \"often\"") || r.source.Condition().Refused != 1 {
		t.Errorf("bad: %q, %+v", r.bad, r.source.Totals())
	}

	// The file is cut and begun anew, which dhcpd does not do.
	if err := os.WriteFile(file, []byte(head+na('h', "2", "active", 7)), 0o644); err != nil {
		t.Fatal(err)
	}
	n = requireSteps(t, r.look(doorbell.Changed).Steps, n, "begin links=false", "upsert 2001:db8::2/128", "end")

	// It is removed, with a torn block at its end; and there is a new one.
	appendTo(t, file, na('i', "3", "active", 8)[:100])
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	n = requireSteps(t, r.look(doorbell.Changed).Steps, n)
	if c := r.source.Condition(); c.Trouble == "" {
		t.Error("no trouble when the file was removed")
	}
	appendTo(t, file, head+na('i', "3", "active", 8))
	requireSteps(t, r.look(doorbell.Changed).Steps, n, "begin links=false", "upsert 2001:db8::3/128", "end")
	if len(r.bad) != 2 || !strings.Contains(r.bad[1], "broken off") {
		t.Errorf("bad: %q", r.bad)
	}
}

// TestAFileThatCannotBeReadIsNoHurry: a statement that is due and cannot be made is waited for, not tried all the time.
func TestAFileThatCannotBeReadIsNoHurry(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dhcpd6.leases")
	appendTo(t, file, head+na('a', "a", "active", 1))
	r := run(t, Config{Leases: file, Resync: time.Nanosecond}, followNow) // so that a statement is due at once
	if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.look(doorbell.Late)
		if c := r.source.Condition(); r.bell.most != poll || c.Trouble == "" {
			t.Errorf("it looks again after %v, want %v; trouble %q", r.bell.most, poll, c.Trouble)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	appendTo(t, file, head+na('b', "b", "active", 1))
	seen := r.look(doorbell.Changed)
	requireSteps(t, seen.Steps, len(seen.Steps)-3, "begin links=false", "upsert 2001:db8::b/128", "end")
}
