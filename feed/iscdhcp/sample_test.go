package iscdhcp

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leasehold/leasehold/feed/doorbell"
	"github.com/leasehold/leasehold/feed/leasetest"
	"github.com/leasehold/leasehold/fsm/binding"
)

// sampleVariables are those of testdata/dhcpd6.conf.
var sampleVariables = []Variable{
	{Name: "link-address", Holds: LinkAddress, Hex: true}, {Name: "peer-address", Holds: PeerAddress, Hex: true},
	{Name: "interface-id", Holds: InterfaceID, Relay: 1, Hex: true}, {Name: "remote-id", Holds: RemoteID, Relay: 1, Hex: true},
	{Name: "relay-id", Holds: RelayID, Relay: 1, Hex: true}, {Name: "outer-relay-id", Holds: RelayID, Relay: 2, Hex: true},
}

// quiet is a bell that rings when a test says so, and tells when somebody waits for it.
type quiet struct {
	idle chan struct{}
	go_  chan doorbell.Wakeup
	most time.Duration // how long the newest Wait may last
}

func newQuiet() *quiet { return &quiet{idle: make(chan struct{}), go_: make(chan doorbell.Wakeup)} }

func (q *quiet) Wait(ctx context.Context, _ <-chan struct{}, most time.Duration) (doorbell.Wakeup, error) {
	q.most = most
	select {
	case q.idle <- struct{}{}:
	case <-ctx.Done():
		return doorbell.Late, ctx.Err()
	}
	select {
	case w := <-q.go_:
		return w, nil
	case <-ctx.Done():
		return doorbell.Late, ctx.Err()
	}
}

func (q *quiet) Close() error { return nil }

// runner is a source whose every look a test causes.
type runner struct {
	t      *testing.T
	source *Source
	sink   *leasetest.Sink
	bell   *quiet
	bad    []string
}

func run(t *testing.T, config Config, now time.Time) *runner {
	t.Helper()
	r := &runner{t: t, sink: leasetest.NewSink(now), bell: newQuiet()}
	config.Report = func(e *RecordError) { r.bad = append(r.bad, e.Error()) }
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	s.newBell = func() bell { return r.bell }
	r.source = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx, r.sink) }()
	t.Cleanup(func() { cancel(); <-done })
	<-r.bell.idle
	return r
}

// look makes the source look, and waits until it has.
func (r *runner) look(why doorbell.Wakeup) leasetest.Seen {
	r.bell.go_ <- why
	<-r.bell.idle
	return r.sink.Seen()
}

func TestSamples(t *testing.T) {
	for _, name := range []string{"dhcpd6.leases", "dhcpd6.plain.leases", "dhcpd6.hex-rewritten.leases"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			now := time.Date(2026, 11, 23, 9, 21, 25, 0, time.UTC) // when some had ended
			r := run(t, Config{Leases: file, Config: "testdata/dhcpd6.conf", Variables: sampleVariables}, now)
			seen := r.sink.Seen()
			want, err := leasetest.ReadDHCPD(string(text), now)
			if err != nil {
				t.Fatal(err)
			}
			if len(seen.Leases) != len(want) || len(want) < 10 || len(r.bad) > 0 || len(seen.Links) != 5 {
				t.Errorf("%d leases, want %d; %d links; bad: %v", len(seen.Leases), len(want), len(seen.Links), r.bad)
			}
			related := 0
			for key, w := range want {
				g := seen.Leases[key]
				if g.Lease == nil || string(g.GetDuid()) != w.DUID || g.GetIaid() != w.IAID || g.GetValid() != w.Valid || g.GetPreferred() != w.Preferred || !g.Transaction.Equal(w.Transaction) {
					t.Errorf("%v is %v, want %+v", key, g, w)
					continue
				}
				related += requireSampleRelays(t, g, w)
			}
			if name != "dhcpd6.plain.leases" && related < 10 {
				t.Errorf("only %d leases with relays", related)
			}
		})
	}
}

// requireSampleRelays compares the options of the relay nearest to the client, and tells how many leases had any.
func requireSampleRelays(t *testing.T, g leasetest.Lease, w leasetest.DHCPDLease) int {
	t.Helper()
	if len(w.Set) == 0 {
		if len(g.GetRelays()) > 0 {
			t.Errorf("relays from nowhere: %v", g)
		}
		return 0
	}
	nearest := g.GetRelays()[len(g.GetRelays())-1]
	options := map[uint16]string{}
	for code, value := range binding.Options(nearest.GetOptions()) {
		options[code] = string(value)
	}
	for code, name := range map[uint16]string{18: "interface-id", 37: "remote-id", 53: "relay-id"} {
		var octets strings.Builder
		for part := range strings.SplitSeq(w.Set[name], ":") {
			b, err := hex.DecodeString(strings.Repeat("0", len(part)%2) + part)
			if err != nil {
				t.Fatal(err)
			}
			octets.Write(b)
		}
		if options[code] != octets.String() {
			t.Errorf("option %d is %q, want %q", code, options[code], octets.String())
		}
	}
	return 1
}
