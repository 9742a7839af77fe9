package fsm

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/fsm/binding"
)

func TestSettingsAreSetOnce(t *testing.T) {
	b, f := newLog(t), newFSM(t)
	if got := f.Settings(); got.ClusterID != "" || got.ServerDUID != nil || got.CatchUp != 0 {
		t.Errorf("settings before the cluster is founded: %+v", got)
	}
	if r := apply(t, f, b.settings(testSettings)); r.Err != nil {
		t.Fatal(r.Err)
	}
	for name, change := range map[string]func(*Settings){
		"another cluster": func(s *Settings) { s.ClusterID = strings.Replace(s.ClusterID, "0193", "0194", 1) },
		"another duid":    func(s *Settings) { s.ServerDUID = []byte{0, 3, 1} },
	} {
		s := testSettings
		change(&s)
		r := apply(t, f, b.settings(s))
		if !errors.Is(r.Err, ErrSettled) {
			t.Errorf("%s: error %v, want ErrSettled", name, r.Err)
		}
		if diff := cmp.Diff(testSettings, f.Settings()); diff != "" {
			t.Errorf("%s: settings (-want +got):\n%s", name, diff)
		}
	}
	later := testSettings
	later.CatchUp = 5 * time.Minute
	if r := apply(t, f, b.settings(later)); r.Err != nil {
		t.Fatal(r.Err)
	}
	if diff := cmp.Diff(later, f.Settings()); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	clear(f.Settings().ServerDUID)
	if diff := cmp.Diff(later, restore(t, snapshotOf(t, f)).Settings()); diff != "" {
		t.Errorf("settings after a restore (-want +got):\n%s", diff)
	}
}

func TestCatchUpDecidesWhenEndsAreForgotten(t *testing.T) {
	for _, catchUp := range []time.Duration{time.Second, 40 * time.Second} {
		b, f := newLog(t), newFSM(t)
		s := testSettings
		s.CatchUp = catchUp
		apply(t, f, b.settings(s))
		c := upsert(1)
		c.Binding.Valid, c.Binding.Preferred = 10, 10
		apply(t, f, b.changes(Session{Source: "kea", Epoch: 1, Sequence: 1}, c))
		b.clock += 10_000
		if r := apply(t, f, b.tick(100)); r.Counts.Expired != 1 || r.More {
			t.Errorf("ten seconds later: %+v", r)
		}
		b.clock += 20_000
		want := uint64(0)
		if catchUp < 20*time.Second {
			want = 1
		}
		if r := apply(t, f, b.tick(100)); r.Counts.Pruned != want {
			t.Errorf("catch-up %v, end of 20 s ago: %d pruned, want %d", catchUp, r.Counts.Pruned, want)
		}
	}
}

func TestInvalidSettings(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Settings)
		text   string
	}{
		"no cluster id":         {func(s *Settings) { s.ClusterID = "" }, `"" is not a UUID`},
		"cluster id in capital": {func(s *Settings) { s.ClusterID = strings.ToUpper(s.ClusterID) }, "not a UUID in lower case"},
		"cluster id nil":        {func(s *Settings) { s.ClusterID = "00000000-0000-0000-0000-000000000000" }, "not a UUID"},
		"cluster id undashed":   {func(s *Settings) { s.ClusterID = strings.ReplaceAll(s.ClusterID, "-", "") }, "not a UUID in lower case"},
		"short duid":            {func(s *Settings) { s.ServerDUID = []byte{1, 2} }, "server duid of 2 octets"},
		"long duid":             {func(s *Settings) { s.ServerDUID = make([]byte, 131) }, "server duid of 131 octets"},
		"no catch-up":           {func(s *Settings) { s.CatchUp = 0 }, "catch-up of 0s"},
		"long catch-up":         {func(s *Settings) { s.CatchUp = 25 * time.Hour }, "catch-up of 25h"},
		"fine catch-up":         {func(s *Settings) { s.CatchUp += time.Microsecond }, "whole milliseconds"},
	} {
		s := testSettings
		s.ServerDUID = bytes.Clone(s.ServerDUID)
		tc.change(&s)
		if _, err := AppendSettings(nil, s); !errors.Is(err, binding.ErrInvalid) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: error %v, want %q", name, err, tc.text)
		}
	}
}
