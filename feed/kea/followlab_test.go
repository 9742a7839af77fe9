package kea

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leasehold/leasehold/feed/doorbell"
)

// entry is a line of Kea's journal: its number is the IAID.
type entry struct {
	address netip.Addr
	number  int
	leased  bool
}

func (e entry) apply(to map[netip.Addr]entry) {
	if e.leased {
		to[e.address] = e
	} else {
		delete(to, e.address)
	}
}

// server writes, step by step, what Kea and its lease file cleanup write. What is lost in torn and glued lines it does not know
// either, so that its memory is what its files say.
type server struct {
	path      string
	file      *os.File // as Kea has it: not in append mode, at the end that it had when it was opened
	number    int
	torn      string  // what is still to be written of a row
	tornEntry entry   // that row
	glue      bool    // the file ends in a torn row of a Kea that crashed
	entries   []entry // that a reader finds
	memory    map[netip.Addr]entry
	dumps     int
	resets    map[int]map[netip.Addr]entry // what readers of the files find instead, before the entry of this index
}

func newServer(path string) *server {
	return &server{path: path, memory: map[netip.Addr]entry{}, resets: map[int]map[netip.Addr]entry{}}
}

func (k *server) open() error {
	file, err := os.OpenFile(k.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	at, err := file.Seek(0, 2)
	if err == nil && at == 0 {
		_, err = file.WriteString(sampleHeader)
	}
	k.file = file
	return err
}

func (k *server) close() error {
	if k.file == nil {
		return nil
	}
	return k.file.Close()
}

// restart is a crash and a new start.
func (k *server) restart() error {
	err := k.close()
	k.glue = k.glue || k.torn != ""
	k.torn = ""
	return errors.Join(err, k.open())
}

func (k *server) text(e entry) string {
	changed := map[string]string{"address": e.address.String(), "iaid": strconv.Itoa(e.number)}
	if !e.leased {
		changed["valid_lifetime"] = "0"
	}
	return sampleRow(changed)
}

// next is a new row of one of the addresses; every third of an address ends its lease.
func (k *server) next(i int) entry {
	k.number++
	return entry{netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)), k.number, k.number%3 != 0}
}

// write writes a row at once.
func (k *server) write(i int) error {
	if err := k.finish(); err != nil {
		return err
	}
	e := k.next(i)
	if _, err := k.file.WriteString(k.text(e)); err != nil {
		return err
	}
	k.enter(e)
	return nil
}

func (k *server) enter(e entry) {
	if k.glue {
		k.glue = false
		return
	}
	k.entries = append(k.entries, e)
	e.apply(k.memory)
}

// tear writes a row but for its last octets; finish writes them. The address at least is there, because half an address before a
// whole one may look like a third.
func (k *server) tear(i, octets int) error {
	if err := k.finish(); err != nil {
		return err
	}
	e := k.next(i)
	text := k.text(e)
	n := max(len(text)-1-octets, strings.IndexByte(text, ',')+1)
	k.torn = text[n:]
	if _, err := k.file.WriteString(text[:n]); err != nil {
		return err
	}
	k.tornEntry = e
	return nil
}

func (k *server) finish() error {
	if k.torn == "" {
		return nil
	}
	_, err := k.file.WriteString(k.torn)
	k.torn = ""
	k.enter(k.tornEntry)
	return err
}

// rotate is what Kea does when it is time for LFC, in steps. It does not rotate when a former LFC has left something; LFC is
// started in any case. crash is the step of LFC before which LFC dies; a large number: it does not.
func (k *server) rotate(crash int) []func() error {
	steps := []func() error{
		k.finish,
		func() error {
			if exists(k.path+".completed") || exists(k.path+".1") {
				return nil
			}
			k.glue = false
			return errors.Join(k.close(), os.Rename(k.path, k.path+".1"))
		},
		func() error {
			if exists(k.path) {
				return nil
			}
			return k.open()
		},
	}
	died := false
	for i, step := range []func() error{
		func() error { return os.WriteFile(k.path+".pid", []byte("1\n"), 0o600) },
		func() error {
			if exists(k.path + ".completed") {
				return nil
			}
			return os.WriteFile(k.path+".output", []byte(sampleHeader), 0o600)
		},
		func() error {
			if exists(k.path + ".completed") {
				return nil
			}
			return k.compact()
		},
		func() error {
			if exists(k.path + ".completed") {
				return nil
			}
			return os.Rename(k.path+".output", k.path+".completed")
		},
		func() error { return removeIfThere(k.path + ".2") },
		func() error { return removeIfThere(k.path + ".1") },
		func() error { return os.Rename(k.path+".completed", k.path+".2") },
		func() error { return os.Remove(k.path + ".pid") },
	} {
		steps = append(steps, func() error {
			died = died || i == crash
			if died {
				return nil
			}
			return step()
		})
	}
	return steps
}

// compact writes .output.
func (k *server) compact() error {
	leases, _, err := readNaively(k.path+".2", k.path+".1")
	if err != nil {
		return err
	}
	return os.WriteFile(k.path+".output", []byte(k.dump(leases)), 0o600)
}

func (k *server) dump(leases map[netip.Addr]entry) string {
	var out strings.Builder
	out.WriteString(sampleHeader)
	for _, a := range slices.SortedFunc(maps.Keys(leases), netip.Addr.Compare) {
		out.WriteString(k.text(leases[a]))
	}
	return out.String()
}

// lease6write is that command of Kea 2.4 and later, in steps: the file is renamed, and a new one gets a row for each lease. The rows
// get new numbers here. What had ended since LFC ran comes back for whoever reads the files: .2 has it still.
func (k *server) lease6write() []func() error {
	k.dumps++
	bak := fmt.Sprintf("%s.bak%d", k.path, k.dumps)
	steps := []func() error{
		k.finish,
		func() error {
			k.glue = false
			base, _, err := readNaively(k.path+".2", k.path+".1")
			if exists(k.path + ".completed") {
				base, _, err = readNaively(k.path + ".completed")
			}
			k.resets[len(k.entries)] = base
			return errors.Join(err, k.close(), os.Rename(k.path, bak))
		},
		k.open,
	}
	for i := range 4 {
		steps = append(steps, func() error {
			k.number += 3 - k.number%3 // so that what is written is in force
			e := k.next(i)
			if _, leased := k.memory[e.address]; !leased {
				return nil
			}
			_, err := k.file.WriteString(k.text(e))
			k.enter(e)
			return err
		})
	}
	return steps
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readNaively reads files as they are now, one after the other. bad is how many lines are of no use.
func readNaively(paths ...string) (leases map[netip.Addr]entry, bad int, err error) {
	leases = map[netip.Addr]entry{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		for i, line := range strings.SplitAfter(string(text), "\n") {
			if i == 0 || line == "" {
				continue
			}
			e, ok := readEntry(line)
			if !ok {
				bad++
				continue
			}
			e.apply(leases)
		}
	}
	return leases, bad, nil
}

// readEntry reads a whole line with its end.
func readEntry(line string) (e entry, ok bool) {
	fields := strings.Split(line, ",")
	if len(fields) != 18 || !strings.HasSuffix(line, "\n") {
		return entry{}, false
	}
	a, err := netip.ParseAddr(fields[0])
	number, failed := strconv.Atoi(fields[7])
	return entry{a, number, fields[2] != "0"}, err == nil && failed == nil
}

// readSet reads a file set that does not change.
func readSet(path string) (map[netip.Addr]entry, int, error) {
	if exists(path + ".completed") {
		return readNaively(path+".completed", path)
	}
	return readNaively(path+".2", path+".1", path)
}

// audit takes what a follower says and holds it against the journal of the server: between two statements the events are the lines
// of the journal one by one, and a statement is the journal up to some line, with the events since.
type audit struct {
	server   *server
	leases   map[netip.Addr]entry // as stated
	fresh    map[netip.Addr]entry // by the statement that is being made; nil: none is
	expected int                  // index of the entry that comes next; -1: any that fits what was stated
	dumped   bool                 // lease6-write came before the newest begin
	least    int                  // no entry before this one may come
	asked    time.Time
	begins   int
	ends     int
	events   int
	doubts   []string
}

func newAudit(k *server) *audit { return &audit{server: k, expected: -1} }

func (a *audit) out(_ context.Context, c chunk) error {
	switch {
	case c.begin != nil:
		a.begins++
		a.fresh, a.expected, a.dumped = map[netip.Addr]entry{}, -1, len(a.server.resets) > 0
	case c.end:
		a.ends++
		if a.fresh == nil {
			return errors.New("the end of a statement without begin")
		}
		a.leases, a.fresh = a.fresh, nil
		if a.expected >= 0 {
			return a.holds(a.expected)
		}
	case c.doubt != "":
		a.doubts = append(a.doubts, c.doubt)
	case len(c.rows) == 0 || len(c.rows) > tailRows:
		return fmt.Errorf("a chunk of %d rows", len(c.rows))
	case c.events:
		for i := range c.rows {
			if err := a.event(&c.rows[i]); err != nil {
				return err
			}
		}
	case a.fresh == nil:
		return errors.New("rows of a statement without begin")
	default:
		if c.asked.Before(a.asked) || c.asked.IsZero() {
			return fmt.Errorf("asked at %v after %v", c.asked, a.asked)
		}
		a.asked = c.asked
		for i := range c.rows {
			at := c.rows[i].prefix.Addr()
			if old, twice := a.fresh[at]; twice {
				return fmt.Errorf("%v is stated as %d after %d", at, c.rows[i].iaid, old.number)
			}
			a.fresh[at] = entry{at, int(c.rows[i].iaid), true}
		}
	}
	return nil
}

func (a *audit) event(r *row) error {
	a.events++
	e := entry{r.prefix.Addr(), int(r.iaid), r.leased()}
	i := slices.Index(a.server.entries, e)
	switch {
	case i < 0:
		return fmt.Errorf("event %v is not in the journal", e)
	case i < a.least:
		return fmt.Errorf("entry %d comes when %d were told", i, a.least)
	case a.expected >= 0 && i != a.expected:
		return fmt.Errorf("entry %d comes, want %d", i, a.expected)
	case a.expected < 0 && a.fresh == nil:
		if err := a.holds(i); err != nil {
			return err
		}
	}
	a.expected, a.least = i+1, i+1
	into := a.leases
	if a.fresh != nil {
		into = a.fresh
	}
	e.apply(into)
	return nil
}

// holds tells whether the leases are those after n entries: of the journal, or, if it was stated after lease6-write, of who
// reads the files.
func (a *audit) holds(n int) error {
	begins := map[int]map[netip.Addr]entry{-1: {}} // -1: the beginning of the journal
	if a.dumped {
		maps.Copy(begins, a.server.resets)
	}
	for first, base := range begins {
		leases := maps.Clone(base)
		for i := max(first, 0); i < n; i++ {
			a.server.entries[i].apply(leases)
		}
		if first <= n && maps.Equal(leases, a.leases) {
			return nil
		}
	}
	return fmt.Errorf("these are not the leases after %d entries: %v", n, a.leases)
}

// settled is the final judgement, when nothing happens any more.
func (a *audit) settled() error {
	set, _, err := readSet(a.server.path)
	switch {
	case err != nil:
		return err
	case a.fresh != nil || a.ends == 0:
		return fmt.Errorf("%d statements began, %d ended", a.begins, a.ends)
	case len(a.server.resets) == 0 && !maps.Equal(set, a.leases):
		return fmt.Errorf("the leases are %v, an independent reader finds %v", a.leases, set)
	}
	return a.holds(len(a.server.entries))
}

// stage is a disk and a bell on which a script of the server goes on, in the follower's own goroutine, between any two things
// that the follower does to its files.
type stage struct {
	realDisk
	script  []func() error
	done    int                           // steps of the script that were done
	calls   int                           // of the follower
	due     func(g *stage, idle bool) int // how many steps come before this call
	now     time.Time
	idle    int
	endless bool // it does not end when nothing happens any more
	waits   int
	failed  error
	stop    func(call int) bool // whether the follower is to stop at this call; nil: never
	cancel  context.CancelFunc
	seen    map[string]bool // what was done after which step, for the coverage
}

// run does steps of the script.
func (g *stage) run(n int) {
	for ; n > 0 && g.done < len(g.script) && g.failed == nil; n-- {
		g.failed = g.script[g.done]()
		g.done++
	}
}

func (g *stage) step(what string, idle bool) {
	g.run(g.due(g, idle))
	if g.seen != nil {
		g.seen[fmt.Sprintf("%d %s", g.done, what)] = true
	}
	if g.stop != nil && g.stop(g.calls) {
		g.cancel()
	}
	g.calls++
}

func (g *stage) open(name string) (leaseFile, error) {
	g.step("open"+filepath.Ext(name), false)
	f, err := g.realDisk.open(name)
	if err != nil {
		return nil, err
	}
	return &stageFile{f, g}, nil
}

func (g *stage) stat(name string) (fs.FileInfo, error) {
	g.step("stat"+filepath.Ext(name), false)
	return g.realDisk.stat(name)
}

func (g *stage) siblings(beginning string) ([]string, error) {
	g.step("list", false)
	return g.realDisk.siblings(beginning)
}

type stageFile struct {
	leaseFile
	stage *stage
}

func (f *stageFile) ReadAt(b []byte, at int64) (int, error) {
	f.stage.step("read", false)
	return f.leaseFile.ReadAt(b, at)
}

func (f *stageFile) Stat() (fs.FileInfo, error) {
	f.stage.step("look", false)
	return f.leaseFile.Stat()
}

var errSettled = errors.New("nothing happens any more")

// Wait lets time pass. When the script is at its end and the follower has twice found nothing, it ends.
func (g *stage) Wait(ctx context.Context, _ <-chan struct{}, most time.Duration) (doorbell.Wakeup, error) {
	g.step("wait", true)
	g.now = g.now.Add(most)
	g.waits++
	switch {
	case ctx.Err() != nil:
		return doorbell.Late, context.Cause(ctx)
	case g.failed != nil:
		return doorbell.Late, g.failed
	case g.waits > 10_000:
		return doorbell.Late, errors.New("the follower does not come to rest")
	case g.endless || g.done < len(g.script) || most < followPoll:
		g.idle = 0
	case g.idle == 2:
		return doorbell.Late, errSettled
	default:
		g.idle++
	}
	return doorbell.Late, nil
}

// Close has nothing to close.
func (g *stage) Close() error { return nil }

func newStage(script []func() error, due func(g *stage, idle bool) int) *stage {
	return &stage{script: script, due: due, now: time.Unix(1_800_000_000, 0)}
}

// follower is one that does its work on this stage.
func (g *stage) follower(path string) *follower {
	f := newFollower(followConfig{path: path})
	f.rows = 2
	f.disk, f.clock, f.newBell = g, func() time.Time { return g.now }, func() bell { return g }
	return f
}

// play lets a follower work until nothing happens any more.
func (g *stage) play(ctx context.Context, f *follower, a *audit) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.cancel = cancel
	err := f.read(ctx, nil, a.out)
	switch {
	case g.failed != nil:
		return fmt.Errorf("the script: %w", g.failed)
	case errors.Is(err, errSettled):
		return a.settled()
	}
	return err
}
