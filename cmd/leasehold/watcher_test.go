package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
)

// watchedLink is an address on the link of subnet 1 of the sample's configuration, where keaFile has its leases.
const watchedLink = "2001:db8:1000::1"

// keaFile is a lease file of Kea's that is written anew and fed each time: what it has no more the cluster ends.
type keaFile struct {
	path   string
	leases map[string]keaRow // by address or prefix, as requestors print it
}

// keaRow is a lease: an address, or a prefix of 56 bits.
type keaRow struct {
	client int
	valid  int64 // seconds from got on
	got    time.Time
}

func newKeaFile(t *testing.T) *keaFile {
	return &keaFile{path: filepath.Join(t.TempDir(), "kea-leases6.csv"), leases: map[string]keaRow{}}
}

// keaPlaces are the address and the prefix of a number.
func keaPlaces(number int) (address, prefix string) {
	return fmt.Sprintf("2001:db8:1000::%x", 0x5000+number), fmt.Sprintf("2001:db8:4000:%x00::/56", 0x10+number)
}

// grant gives a client its address of a number, and its prefix if it is to have one.
func (f *keaFile) grant(client, number int, valid int64, delegated bool) {
	row := keaRow{client, valid, time.Now()}
	address, prefix := keaPlaces(number)
	f.leases[address] = row
	if delegated {
		f.leases[prefix] = row
	}
}

// drop ends the leases of a number.
func (f *keaFile) drop(number int) {
	address, prefix := keaPlaces(number)
	delete(f.leases, address)
	delete(f.leases, prefix)
}

func clientDUID(client int) string { return fmt.Sprintf("00:03:00:01:02:00:00:00:00:%02x", client) }

// feed writes the file, and lets the built program state it.
func (f *keaFile) feed(t *testing.T, cluster ...string) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source,pool_id\n")
	for place, r := range f.leases {
		address, kind, length := place, 0, 128
		if p, _, ok := strings.Cut(place, "/"); ok {
			address, kind, length = p, 2, 56
		}
		fmt.Fprintf(&b, "%s,%s,%d,%d,1,%d,%d,1,%d,0,0,,,0,,,,0\n", address, clientDUID(r.client), r.valid, r.got.Unix()+r.valid, r.valid/2, kind, length)
	}
	if err := os.WriteFile(f.path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, out, errs := leasehold(t, "feed", "kea", "--leases", f.path, "--kea-config", sampleConfig, "--once", "--quiet", "--source", "kea",
		"--cluster", strings.Join(cluster, ",")); status != 0 {
		t.Fatalf("leasehold feed: status %d\n%s%s", status, out, errs)
	}
}

// table is what the file holds: who has what.
func (f *keaFile) table() map[string]string {
	out := map[string]string{}
	for place, r := range f.leases {
		out[place] = clientDUID(r.client)
	}
	return out
}

// watchLine is a line of `leasehold watch --json`.
type watchLine struct {
	Event     string
	BaseTime  uint32 `json:"base_time"`
	Recovered bool
	Server    string
	Reason    string
	DUID      string
	Addresses []struct {
		Address string
		Valid   uint32
	}
	Prefixes []struct {
		Prefix string
		Valid  uint32
	}
}

// watcher runs `leasehold watch --json` and keeps what it has printed.
type watcher struct {
	t    *testing.T
	cmd  *exec.Cmd
	said chan struct{} // closed when standard output has ended

	mu    sync.Mutex
	errs  bytes.Buffer
	lines []watchLine
	table map[string]string
}

// Write is standard error.
func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.errs.Write(p)
}

// startWatch runs the built program until the test ends. The table holds what the watcher of before had.
func startWatch(t *testing.T, before map[string]string, servers []string, args ...string) *watcher {
	t.Helper()
	w := &watcher{t: t, said: make(chan struct{}), table: map[string]string{}}
	for place, who := range before {
		w.table[place] = who
	}
	w.cmd = exec.Command(builtBinary(t), append([]string{"watch", "--json", "--server", strings.Join(servers, ",")}, args...)...)
	w.cmd.Stderr = w
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.said)
		for s := bufio.NewScanner(out); s.Scan(); {
			w.take(s.Bytes())
		}
	}()
	t.Cleanup(func() {
		if w.cmd.ProcessState == nil {
			w.cmd.Process.Kill() // if it has ended, nothing
			<-w.said
			w.cmd.Wait() // killed
		}
		if t.Failed() {
			t.Logf("watch said\n%s", w.stderr())
		}
	})
	return w
}

func (w *watcher) take(line []byte) {
	var l watchLine
	if err := json.Unmarshal(line, &l); err != nil {
		w.t.Errorf("watch printed %q: %v", line, err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, l)
	note := func(place string, valid uint32) {
		switch {
		case valid > 0:
			w.table[place] = l.DUID
		case w.table[place] == l.DUID: // another client may have it by now
			delete(w.table, place)
		}
	}
	for _, a := range l.Addresses {
		note(a.Address, a.Valid)
	}
	for _, p := range l.Prefixes {
		note(p.Prefix, p.Valid)
	}
}

func (w *watcher) stderr() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.errs.String()
}

// events are the lines that pass, without the idle ones.
func (w *watcher) events(pass func(watchLine) bool) (out []watchLine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lines {
		if l.Event != "idle" && pass(l) {
			out = append(out, l)
		}
	}
	return out
}

func kind(name string) func(watchLine) bool {
	return func(l watchLine) bool { return l.Event == name }
}

// follows waits until the watcher has what the file has.
func (w *watcher) follows(f *keaFile) {
	w.t.Helper()
	w.until("its table is the file's", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		want := f.table()
		if len(want) != len(w.table) {
			return false
		}
		for place, who := range want {
			if w.table[place] != who {
				return false
			}
		}
		return true
	})
}

// until waits for a condition, and says what the watcher has if it does not come.
func (w *watcher) until(what string, condition func() bool) {
	w.t.Helper()
	defer func() {
		if w.t.Failed() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.t.Logf("%d places, last lines %+v", len(w.table), w.lines[max(0, len(w.lines)-5):])
		}
	}()
	until(w.t, deadline(w.t, time.Minute), "watch: "+what, condition)
}

// server is the node that is followed, by what was said of it last.
func (w *watcher) server(c *laptop.Cluster) *laptop.Node {
	w.t.Helper()
	var address string
	w.until("a server is followed", func() bool { // standard error may come behind standard output
		said := w.stderr()
		i := strings.LastIndex(said, "following ")
		whole := false
		if i >= 0 {
			address, _, whole = strings.Cut(said[i+len("following "):], "\n")
		}
		return whole
	})
	i := slices.IndexFunc(c.Nodes, func(n *laptop.Node) bool { return n.LeasequeryTCP == address })
	if i < 0 {
		w.t.Fatalf("%q is followed, which is none of the nodes", address)
	}
	return c.Nodes[i]
}

// stop interrupts the watcher, which ends well and says the base time to go on from.
func (w *watcher) stop() (since string) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGINT); err != nil {
		w.t.Fatal(err)
	}
	<-w.said
	if err := w.cmd.Wait(); err != nil {
		w.t.Errorf("watch, interrupted: %v", err)
	}
	_, since, ok := strings.Cut(w.stderr(), "go on with --since ")
	if !ok {
		w.t.Fatalf("no base time to go on from:\n%s", w.stderr())
	}
	return strings.TrimSpace(since)
}
