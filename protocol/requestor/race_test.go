package requestor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

func answers(replies ...func(dhcpv6.TransactionID) []dhcpv6.Message) []func(dhcpv6.TransactionID) []dhcpv6.Message {
	return replies
}

// A server that is silent has the next one asked beside it. Whoever is complete first has answered, each client once.
func TestSilentServers(t *testing.T) {
	const second = time.Second
	for name, tc := range map[string]struct {
		acts   map[string][]act
		stream bool
		took   time.Duration
		log    []string
	}{
		"before the first octet": {
			acts: map[string][]act{"a": {{silent: true}}, "b": {once(whole(0, 5))}},
			took: 3 * second, log: []string{"a", "b"},
		},
		"in the middle": {
			acts: map[string][]act{"a": {{replies: answers(part(0, 2)), silent: true}}, "b": {once(whole(0, 5))}},
			took: 3 * second, log: []string{"a", "b"},
		},
		"two of three": {
			acts: map[string][]act{"a": {{silent: true}}, "b": {{silent: true}}, "c": {once(whole(0, 5))}},
			took: 6 * second, log: []string{"a", "b", "c"},
		},
		"and first in the end": {
			acts: map[string][]act{"a": {{replies: answers(whole(0, 5)), after: 4 * second}}, "b": {{silent: true}}},
			took: 4 * second, log: []string{"a", "b"},
		},
		"slow, but not silent": { // octets come after two seconds and after four
			acts: map[string][]act{"a": {{replies: answers(whole(0, 5)), after: 2 * second, stops: 2}}},
			took: 4 * second, log: []string{"a"},
		},
		"goes on in the middle, and is not overtaken by a broken one": {
			acts: map[string][]act{"a": {{replies: answers(whole(0, 5)), after: 5 * second, stops: 3}}, "b": {{replies: answers(part(0, 4)), after: second}}, "c": {{silent: true}}},
			took: 10 * second, log: []string{"a", "b", "c"},
		},
		"streamed, before the first octet": {
			acts:   map[string][]act{"a": {{replies: answers(whole(0, 5)), after: 4 * second}}, "b": {{replies: answers(whole(0, 5)), after: 2 * second}}},
			stream: true, took: 4 * second, log: []string{"a", "b"},
		},
		"streamed, in the middle": { // nobody else can go on
			acts:   map[string][]act{"a": {{replies: answers(whole(0, 5)), after: 100 * second, stops: 2}}, "b": {{silent: true}}},
			stream: true, took: 200 * second, log: []string{"a", "b", "c"},
		},
		"the only one left, until it answers": {
			acts: map[string][]act{"a": {{replies: answers(whole(0, 5)), after: 299 * second}}, "b": {once(status(dhcpv6.StatusNotAllowed))}},
			took: 299 * second, log: []string{"a", "b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(t, tc.acts)
				config := s.config()
				config.Stream, config.Rounds = tc.stream, 1
				names := []string{"a", "b", "c"}[:max(len(tc.acts), len(tc.log))]
				start := time.Now()
				var got []int
				if err := QueryAny(t.Context(), names, config, everything, collect(&got)); err != nil {
					t.Error(err)
				}
				if d := time.Since(start); d != tc.took { // of the bubble's time, which is exact
					t.Errorf("answered after %v, want %v", d, tc.took)
				}
				if diff := cmp.Diff(upTo(5), got); diff != "" {
					t.Errorf("clients (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.log, s.log); diff != "" {
					t.Errorf("servers asked (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A silent server is asked again once its connection is gone, though rounds would have passed in the meantime.
func TestSilentServerIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, map[string][]act{"a": {{replies: answers(part(0, 0)), after: 100 * time.Second}, once(whole(0, 3))}})
		var got []int
		if err := QueryAny(t.Context(), []string{"a"}, s.config(), everything, collect(&got)); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(upTo(3), got); diff != "" {
			t.Errorf("clients (-want +got):\n%s", diff)
		}
	})
}

// Nobody else is asked any more, in further rounds either, once a server that was silent hands over its answer.
func TestSilentServerSpeaksInAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, map[string][]act{
			"a": {{replies: answers(whole(0, 5)), after: 3500 * time.Millisecond, stops: 3}}, "b": {once(status(dhcpv6.StatusQueryTerminated))},
		})
		config := s.config()
		config.Stream = true
		var got []int
		if err := QueryAny(t.Context(), []string{"a", "b"}, config, everything, collect(&got)); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(upTo(5), got); diff != "" {
			t.Errorf("clients (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"a", "b"}, s.log); diff != "" {
			t.Errorf("servers asked (-want +got):\n%s", diff)
		}
	})
}

func TestSilentToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, map[string][]act{"a": {{silent: true}}, "b": {{silent: true}}})
		var reported []Attempt
		config := s.config()
		config.Rounds, config.Report = 1, func(a Attempt) { reported = append(reported, a) }
		start := time.Now()
		err := QueryAny(t.Context(), []string{"a", "b"}, config, everything, nil)
		if all, ok := errors.AsType[*AttemptsError](err); !ok || len(all.Attempts) != 2 || all.Refused() || !errors.Is(err, ErrStalled) {
			t.Errorf("got %v, want two attempts that stalled", err)
		}
		if d := time.Since(start); d != DefaultPatience+DefaultDataTimeout {
			t.Errorf("given up after %v, want BULK_LQ_DATA_TIMEOUT for each", d)
		}
		var got []string
		for _, a := range reported {
			what := "failed"
			if errors.Is(a.Err, ErrSilent) {
				what = "silent"
			}
			got = append(got, a.Server+" "+what)
		}
		if diff := cmp.Diff([]string{"a silent", "b silent", "a failed", "b failed"}, got); diff != "" {
			t.Errorf("reported (-want +got):\n%s", diff)
		}
	})
}

func TestContextEndsARace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, map[string][]act{"a": {{silent: true}}, "b": {{replies: answers(part(0, 3)), silent: true}}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := QueryAny(ctx, []string{"a", "b"}, s.config(), everything, func(*Client) error {
			t.Error("a client of an incomplete answer")
			return nil
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
}

// Every server's last word counts: one that was not there at first and then refused has answered.
func TestRefusedInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, map[string][]act{"a": {{refused: true}, once(status(dhcpv6.StatusNotAllowed))}, "b": {once(status(dhcpv6.StatusNotAllowed))}})
		err := QueryAny(t.Context(), []string{"a", "b"}, s.config(), everything, nil)
		all, ok := errors.AsType[*AttemptsError](err)
		if !ok || !all.Refused() {
			t.Errorf("got %v, want that all refused", err)
		}
		want := "no complete answer; a: server answered NotAllowed: because (last of 2 attempts); b: server answered NotAllowed: because"
		if err.Error() != want {
			t.Errorf("got  %s\nwant %s", err, want)
		}
	})
}

// A name stands for all of its addresses: the one that is dead, the one that closes, and the one that answers.
func TestNameWithSeveralAddresses(t *testing.T) {
	good := newNode(t, 5)
	_, port, err := net.SplitHostPort(good.addr)
	if err != nil {
		t.Fatal(err)
	}
	closing, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.2", port))
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for c, err := closing.Accept(); err == nil; c, err = closing.Accept() {
			_ = c.Close() // as a server does that does not know the requestor
		}
	}()
	var reported []string
	config := Config{ClientID: ownID, Patience: time.Minute, Report: func(a Attempt) { reported = append(reported, a.Server) }}
	config.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		if host != "relays.example" {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		return []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.3"), netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("::1")}, nil
	}
	clients := 0
	err = QueryAny(t.Context(), []string{"nobody.example:547", "relays.example:" + port}, config, everything, func(*Client) error { clients++; return nil })
	if err != nil || clients != 5 {
		t.Errorf("%d clients, want 5: %v", clients, err)
	}
	at := "relays.example:" + port + " at "
	if diff := cmp.Diff([]string{"nobody.example:547", at + "127.0.0.3:" + port, at + "127.0.0.2:" + port}, reported); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	if err := closing.Close(); err != nil {
		t.Error(err)
	}
	<-gone
}

func TestServersThatCannotBe(t *testing.T) {
	for _, servers := range [][]string{nil, {"::1"}, {"[::1]:547", "relays.example"}} {
		if err := QueryAny(t.Context(), servers, Config{ClientID: ownID}, everything, nil); !errors.Is(err, ErrQuery) {
			t.Errorf("servers %q: %v, want ErrQuery", servers, err)
		}
	}
}
