package dnsmasq

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	knownAddress = netip.MustParseAddr("2001:db8::1")
	knownRelay   = netip.MustParseAddr("2001:db8::ffff")
)

const knownStart = 1_795_000_000

func file(expires int64, duid string) *survey {
	s := parseLeases(fmt.Appendf(nil, "duid 00:01\n%d 7 %v * %s\n", expires, knownAddress, duid))
	return &s
}

func at(seconds int64) time.Time { return time.Unix(knownStart+seconds, 0) }

func eventOf(added bool, expires, remaining int64) event {
	e := event{added: added, remaining: remaining, lease: lease{address: knownAddress, duid: "\x00\x02", iaid: 7, expires: expires}}
	if added {
		e.lease.relay = knownRelay
	}
	return e
}

func TestTimesAreDerived(t *testing.T) {
	const length = 7200
	empty := parseLeases([]byte("duid 00:01\n"))
	for name, tc := range map[string]struct {
		steps       func(k *known)
		transaction int64 // after knownStart
		valid       uint32
		relay       bool
	}{
		"first read": {func(k *known) { k.believe(file(knownStart+5000, "00:02"), true, at(0), at(0)) }, 0, 5000, false},
		"new in the file": {func(k *known) {
			k.believe(&empty, true, at(0), at(0))
			k.believe(file(knownStart+100+length, "00:02"), true, at(100), at(100))
		}, 100, length, false},
		"add, then file": {func(k *known) {
			k.believe(&empty, true, at(0), at(0))
			k.hear(eventOf(true, knownStart+100+length, length), at(101))
			k.believe(file(knownStart+100+length, "00:02"), true, at(101), at(101))
		}, 100, length, true},
		"file, then add": {func(k *known) {
			k.believe(&empty, true, at(0), at(0))
			k.believe(file(knownStart+100+length, "00:02"), true, at(101), at(101))
			k.hear(eventOf(true, knownStart+100+length, length), at(101))
		}, 100, length, true},
		"add, then old": {func(k *known) {
			k.hear(eventOf(true, knownStart+length, length), at(0))
			k.hear(eventOf(false, knownStart+50+length, length), at(50))
			k.believe(file(knownStart+50+length, "00:02"), true, at(50), at(50))
		}, 50, length, true},
		"renewed": {func(k *known) {
			k.believe(&empty, true, at(0), at(0))
			k.hear(eventOf(true, knownStart+length, length), at(0))
			k.believe(file(knownStart+length, "00:02"), true, at(0), at(0))
			k.believe(file(knownStart+900+length, "00:02"), true, at(901), at(901))
		}, 900, length, true},
		"all told again": {func(k *known) {
			k.believe(&empty, true, at(0), at(0))
			k.believe(file(knownStart+length, "00:02"), true, at(0), at(0))
			k.hear(eventOf(false, knownStart+length, length-500), at(500))
		}, 0, length, false},
		"another client": {func(k *known) {
			k.believe(&empty, true, at(0), at(0))
			k.hear(eventOf(true, knownStart+length, length), at(0))
			k.believe(file(knownStart+length, "00:02"), true, at(0), at(0))
			k.believe(file(knownStart+300+length, "00:03"), true, at(300), at(300))
		}, 300, length, false},
		"late add": {func(k *known) {
			k.believe(file(knownStart+300+length, "00:03"), true, at(300), at(300))
			k.hear(eventOf(true, knownStart+length, length), at(301))
			k.believe(file(knownStart+300+length, "00:03"), true, at(302), at(300))
		}, 300, length, false},
		"infinite": {func(k *known) {
			k.believe(&empty, true, at(0), at(0))
			k.hear(eventOf(true, 0, 0), at(10))
			k.believe(file(0, "00:02"), true, at(10), at(10))
		}, 10, 1<<32 - 1, true},
		"changes of a second": {func(k *known) {
			k.believe(&empty, true, at(0), at(0))
			k.believe(file(knownStart+length, "00:02"), true, at(0), at(0))
			k.believe(file(knownStart+1+length, "00:02"), true, at(2), at(2))
		}, 1, length, false},
	} {
		k := newKnown(func(err error) { must(t, err) })
		tc.steps(k)
		l := k.held[knownAddress]
		if l.transaction != knownStart+tc.transaction || l.valid != tc.valid || l.relay.IsValid() != tc.relay {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

func TestWhatIsNotSurelyWholeEndsNothingAtOnce(t *testing.T) {
	k := newKnown(func(err error) { must(t, err) })
	full, empty := file(knownStart+100, "00:02"), parseLeases([]byte("duid 00:01\n"))
	k.believe(full, true, at(0), at(0))
	if d := k.believe(&empty, false, at(1), at(1)); len(d.ended) != 0 {
		t.Errorf("ended: %v", d.ended)
	}
	k.believe(full, false, at(2), at(2))
	if d := k.believe(&empty, false, at(3), at(3)); len(d.ended) != 0 {
		t.Errorf("ended: %v", d.ended)
	}
	if d := k.believe(&empty, false, at(4), at(4)); len(d.ended) != 1 {
		t.Errorf("lacked twice, and not ended: %v", d.ended)
	}
	k.believe(full, true, at(5), at(5))
	bad := parseLeases(fmt.Appendf(nil, "duid 00:01\nx 7 %v * 00:02\n", knownAddress))
	if d := k.believe(&bad, true, at(6), at(6)); len(d.ended) != 0 || len(k.held) != 1 {
		t.Errorf("ended by a line that cannot be read: %v", d.ended)
	}
	if d := k.believe(&empty, true, at(7), at(7)); len(d.ended) != 1 {
		t.Errorf("not ended: %v", d.ended)
	}
}

func TestMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	m, held, err := openMemory(path)
	must(t, err)
	if len(held) != 0 {
		t.Fatalf("%v", held)
	}
	k := newKnown(func(err error) { must(t, err) })
	k.memory = m
	for i := range int64(1500) { // more than are kept before the journal is written anew
		k.hear(eventOf(true, knownStart+i+100, 100), at(i))
		k.believe(file(knownStart+i+100, "00:02"), true, at(i), at(i))
	}
	want := k.held[knownAddress]
	if m.lines > 1200 {
		t.Errorf("%d lines for one lease", m.lines)
	}
	must(t, m.close())
	m, held, err = openMemory(path)
	must(t, err)
	if held[knownAddress] != want || len(held) != 1 {
		t.Errorf("%+v, want %+v", held, want)
	}
	k.memory, k.held = m, held
	empty := parseLeases([]byte("duid 00:01\n"))
	k.believe(&empty, true, at(1), at(1))
	must(t, m.close())
	m, held, err = openMemory(path)
	must(t, err)
	must(t, m.close())
	if len(held) != 0 {
		t.Errorf("forgotten, and there: %v", held)
	}
}

// TestMemoryOutlivesDamage: what a crash or a full disk has left in the journal costs only itself.
func TestMemoryOutlivesDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	m, _, err := openMemory(path)
	must(t, err)
	e := eventOf(true, knownStart+100, 100)
	l := e.granted(at(0))
	must(t, m.note(entryOf(&l), nil))
	must(t, m.close())
	text, err := os.ReadFile(path)
	must(t, err)
	for name, damage := range map[string]string{"torn": string(text[:20]) + "\n", "zeroes": strings.Repeat("\x00", 3*maxEvent) + "\n", "zeroes without end": strings.Repeat("\x00", 3*maxEvent)} {
		damaged := damage + string(text)
		if !strings.HasSuffix(damage, "\n") {
			damaged = string(text) + damage
		}
		must(t, os.WriteFile(path, []byte(damaged), 0o600))
		m, held, err := openMemory(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		must(t, m.close())
		if len(held) != 1 || held[knownAddress] != l {
			t.Errorf("%s: %+v", name, held)
		}
	}
}

// TestMemoryHeals: what cannot be written is trouble as long as it cannot, and is not forgotten.
func TestMemoryHeals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	source, err := New(Config{Leases: "leases", State: path})
	must(t, err)
	k := source.known
	k.memory, _, err = openMemory(path)
	must(t, err)
	must(t, k.memory.file.Close()) // as if the disk were full
	k.believe(file(knownStart+100, "00:02"), true, at(0), at(0))
	if source.Condition().Trouble == "" {
		t.Error("no trouble")
	}
	k.hear(eventOf(true, knownStart+100, 100), at(0))
	if trouble := source.Condition().Trouble; trouble != "" {
		t.Errorf("trouble that is over: %s", trouble)
	}
	must(t, k.memory.close())
	_, held, err := openMemory(path)
	must(t, err)
	if held[knownAddress] != k.held[knownAddress] || len(held) != 1 {
		t.Errorf("%+v, want %+v", held, k.held)
	}
}

// TestALeaseThatIsBackHasItsRelay: a lease that was missed for a moment, and is there as it was, is what it was.
func TestALeaseThatIsBackHasItsRelay(t *testing.T) {
	k := newKnown(func(err error) { must(t, err) })
	full, empty := file(knownStart+7200, "00:02"), parseLeases([]byte("duid 00:01\n"))
	k.hear(eventOf(true, knownStart+7200, 7200), at(0))
	k.believe(full, true, at(0), at(0))
	want := k.held[knownAddress]
	if d := k.believe(&empty, true, at(1), at(1)); len(d.ended) != 1 || !want.relay.IsValid() {
		t.Errorf("%+v, %+v", d, want)
	}
	k.believe(full, true, at(2), at(2))
	if got := k.held[knownAddress]; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	k.believe(&empty, true, at(3), at(3))
	k.believe(file(knownStart+7300, "00:02"), true, at(100), at(100)) // leased again, and nobody has told from where
	if got := k.held[knownAddress]; got.relay.IsValid() {
		t.Errorf("%+v", got)
	}
}

// TestHintsDoNotPileUp: an event that the file does not confirm is forgotten.
func TestHintsDoNotPileUp(t *testing.T) {
	k := newKnown(func(err error) { must(t, err) })
	empty := parseLeases([]byte("duid 00:01\n"))
	k.hear(eventOf(true, 0, 0), at(0)) // for ever
	k.believe(&empty, true, at(1), at(1))
	if len(k.hints) != 1 {
		t.Error("forgotten before the file can have it")
	}
	k.believe(&empty, true, at(200), at(200))
	if len(k.hints) != 0 {
		t.Errorf("%+v", k.hints)
	}
}
