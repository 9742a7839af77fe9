package requestor

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

func TestQueryAnyAsksUntilAnAnswerIsComplete(t *testing.T) {
	for name, first := range map[string]act{
		"no connection":                {refused: true},
		"closed at once":               once(),
		"closed in the middle":         once(part(0, 2)),
		"QueryTerminated":              once(status(dhcpv6.StatusQueryTerminated)),
		"QueryTerminated in the midst": once(terminated(0, 2, dhcpv6.StatusQueryTerminated)),
		"UnspecFail in the midst":      once(terminated(0, 2, dhcpv6.StatusUnspecFail)),
		"NotAllowed":                   once(status(dhcpv6.StatusNotAllowed)),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // whose time does not pass while a server is slow
				s := newScripted(t, map[string][]act{"a": {first}, "b": {once(whole(0, 5))}})
				var got []int
				if err := QueryAny(t.Context(), []string{"a", "b"}, s.config(), everything, collect(&got)); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(upTo(5), got); diff != "" {
					t.Errorf("clients (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]string{"a", "b"}, s.log); diff != "" {
					t.Errorf("servers asked (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestQueryAnyRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := once(status(dhcpv6.StatusQueryTerminated))
		s := newScripted(t, map[string][]act{
			"a": {busy, busy, once(whole(0, 2))}, "b": {once(status(dhcpv6.StatusNotConfigured))}, "c": {{refused: true}, once(part(0, 1))},
		})
		start := time.Now()
		var got []int
		if err := QueryAny(t.Context(), []string{"a", "b", "c"}, s.config(), everything, collect(&got)); err != nil {
			t.Fatal(err)
		}
		// b refused the query itself: it is not asked again.
		if diff := cmp.Diff([]string{"a", "b", "c", "a", "c", "a"}, s.log); diff != "" {
			t.Errorf("servers asked (-want +got):\n%s", diff)
		}
		if d := time.Since(start); d < 1500*time.Millisecond || d > 4500*time.Millisecond {
			t.Errorf("took %v, want pauses of about one and two seconds", d)
		}
		if diff := cmp.Diff(upTo(2), got); diff != "" {
			t.Errorf("clients (-want +got):\n%s", diff)
		}
	})
}

func TestQueryAnyRefusedByAll(t *testing.T) {
	s := newScripted(t, map[string][]act{
		"a": {once(status(dhcpv6.StatusNotConfigured))}, "b": {once(status(dhcpv6.StatusNotAllowed))},
	})
	err := QueryAny(t.Context(), []string{"a", "b"}, s.config(), everything, nil)
	all, ok := errors.AsType[*AttemptsError](err)
	if !ok || !all.Refused() || len(all.Attempts) != 2 {
		t.Fatalf("got %v, want two refusals", err)
	}
	want := "no complete answer; a: server answered NotConfigured: because; b: server answered NotAllowed: because"
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

func TestQueryAnyWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, map[string][]act{"a": {{refused: true}, once(status(dhcpv6.StatusQueryTerminated)), once(part(0, 1))}})
		err := QueryAny(t.Context(), []string{"a"}, s.config(), everything, func(*Client) error {
			t.Error("a client of an incomplete answer")
			return nil
		})
		all, ok := errors.AsType[*AttemptsError](err)
		if !ok || all.Refused() || len(all.Attempts) != DefaultRounds || !errors.Is(err, ErrIncomplete) {
			t.Errorf("got %v, want three attempts", err)
		}
	})
}

func TestQueryAnyContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := QueryAny(ctx, []string{"a"}, s.config(), everything, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
}

func TestQueryAnyStream(t *testing.T) {
	t.Run("goes on before the first client", func(t *testing.T) {
		s := newScripted(t, map[string][]act{"a": {once()}, "b": {once(whole(0, 3))}})
		config := s.config()
		config.Stream = true
		var got []int
		if err := QueryAny(t.Context(), []string{"a", "b"}, config, everything, collect(&got)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(upTo(3), got); diff != "" {
			t.Errorf("clients (-want +got):\n%s", diff)
		}
	})
	t.Run("ends behind it", func(t *testing.T) {
		s := newScripted(t, map[string][]act{"a": {once(part(0, 2))}, "b": {once(whole(0, 3))}})
		config := s.config()
		config.Stream = true
		var got []int
		if err := QueryAny(t.Context(), []string{"a", "b"}, config, everything, collect(&got)); !errors.Is(err, ErrIncomplete) {
			t.Errorf("got %v, want ErrIncomplete", err)
		}
		if diff := cmp.Diff(upTo(2), got); diff != "" {
			t.Errorf("clients (-want +got):\n%s", diff)
		}
	})
}

// An answer larger than the memory it may take goes through a file, which leaves nothing behind; so does a broken one before it.
func TestSpoolGoesToAFile(t *testing.T) {
	dir := t.TempDir()
	s := newScripted(t, map[string][]act{"a": {once(part(0, 300)), once(whole(0, 1000))}})
	config := s.config()
	config.SpoolMemory, config.SpoolDir = 2000, dir
	var got []int
	if err := QueryAny(t.Context(), []string{"a", "a"}, config, everything, collect(&got)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(upTo(1000), got); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestSpoolThatCannotBeMade(t *testing.T) {
	s := newScripted(t, map[string][]act{"a": {once(whole(0, 100))}, "b": {once(whole(0, 100))}})
	config := s.config()
	config.SpoolMemory, config.SpoolDir = 1, t.TempDir()+"/missing"
	if err := QueryAny(t.Context(), []string{"a", "b"}, config, everything, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want os.ErrNotExist", err)
	}
	if diff := cmp.Diff([]string{"a"}, s.log); diff != "" {
		t.Errorf("servers asked (-want +got):\n%s", diff)
	}
}

func TestSinkErrorEndsQueryAny(t *testing.T) {
	s := newScripted(t, map[string][]act{"a": {once(whole(0, 3))}})
	full := errors.New("disk full")
	if err := QueryAny(t.Context(), []string{"a", "b"}, s.config(), everything, func(*Client) error { return full }); !errors.Is(err, full) {
		t.Errorf("got %v, want the sink's error", err)
	}
}
