package requestor

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// flawed is clients of which some cannot be read: of the second the relay data, of the third the DUID is missing, of the fourth it is too long.
func flawed(id dhcpv6.TransactionID) []dhcpv6.Message {
	long := must(dhcpv6.ClientID(make([]byte, maxDUID+1)), dhcpv6.CLTTime(1), dhcpv6.IAAddress{Address: numbered(4), Valid: 1})
	out := part(1, 2)(id)
	for _, c := range []dhcpv6.Options{
		join(client(2), raw(dhcpv6.OptionLQRelayData, make([]byte, 20))), must(dhcpv6.CLTTime(1), dhcpv6.IAAddress{Address: numbered(3), Valid: 1}), long, client(5),
	} {
		out = append(out, message(dhcpv6.MessageLeasequeryData, id, must(dhcpv6.ClientData{Options: c})))
	}
	return append(out, message(dhcpv6.MessageLeasequeryDone, id, nil))
}

func raw(code dhcpv6.OptionCode, value []byte) dhcpv6.Options {
	b, err := dhcpv6.AppendOption(nil, code, value)
	if err != nil {
		panic(err)
	}
	return b
}

func TestTolerantTakesWhatCanBeRead(t *testing.T) {
	for _, stream := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newScripted(t, map[string][]act{"a": {once(flawed)}})
			config := s.config()
			config.Tolerant, config.Stream = true, stream
			var got []string
			err := QueryAny(t.Context(), []string{"a"}, config, everything, func(c *Client) error {
				got = append(got, fmt.Sprintf("%x %d %v %v", c.DUID, len(c.Addresses), c.HasRelay, c.Flaw != nil))
				return nil
			})
			want := []string{"000200000001 1 false false", "000200000002 1 false true", " 0 false true", " 0 false true", "000200000005 1 false false"}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, map[string][]act{"a": {once(flawed)}})
		config := s.config()
		config.Rounds = 1
		if err := QueryAny(t.Context(), []string{"a"}, config, everything, func(*Client) error { return nil }); !errors.Is(err, ErrProtocol) {
			t.Errorf("not tolerant: %v, want ErrProtocol", err)
		}
	})
}

func TestServersAreRefusedByTheirDUID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		no := errors.New("not this one")
		told := 0
		config := Config{Server: func(duid []byte) error {
			if told++; !slices.Equal(duid, serverID) {
				t.Errorf("told %x", duid)
			}
			if told < 3 {
				return no
			}
			return nil
		}}
		s := newScripted(t, map[string][]act{"a": {once(whole(0, 3))}, "b": {once(whole(0, 3))}, "c": {once(whole(0, 3))}})
		config.ClientID, config.Dial = ownID, s.dial
		var got []int
		if err := QueryAny(t.Context(), []string{"a", "b", "c"}, config, everything, collect(&got)); err != nil || len(got) != 3 || told != 3 {
			t.Errorf("error %v, clients %v, told %d times", err, got, told)
		}
		stage := newStage(t, map[string][]script{"a": {func(p *peer) { _ = p.subscribed(0) && p.reply(base(9)) }, func(p *peer) {
			if p.subscribed(0) && p.reply(base(10)) {
				p.gone()
			}
		}}})
		told, config.Dial = 1, stage.config().Dial
		events, failures := watched(t, 1, []string{"a"}, config, byRelay)
		if len(failures) != 1 || !errors.Is(failures[0], no) || events[0] != "subscribed @10 resume 10" {
			t.Errorf("events %v, failures %v", events, failures)
		}
	})
}

// A recovery that is strict does not take NotConfigured for an empty answer.
func TestStrictRecoveryEndsNothingOnNotConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, map[string][]script{"a": {
			func(p *peer) {
				if p.subscribed(0) && p.reply(base(100)) {
					p.gone()
				}
			},
			func(p *peer) {
				_ = p.bulk(101, holds('a', 1, 50, 0)) && p.queried() && p.reply(says(dhcpv6.StatusNotConfigured))
			},
			func(p *peer) { _ = p.bulk(103, holds('a', 1, 48, 2)) && p.bulk(103, holds('b', 2, 50, 0)) },
		}})
		link := func(n int) Query { return Query{Type: dhcpv6.QueryByLinkAddress, LinkAddress: numbered(n)} }
		q := ActiveQuery{Full: true, Strict: true, Recover: []Query{link(1), link(2)}}
		events, failures := watched(t, 4, []string{"a"}, s.config(), q)
		want := []string{"subscribed @100", "a 1 @101 recovered", "b 2 @103 recovered",
			"catch-up-complete @100 recovered resume 100"}
		status := new(StatusError)
		if diff := cmp.Diff(want, events); diff != "" || len(failures) != 1 || !errors.As(failures[0], &status) || status.Status != dhcpv6.StatusNotConfigured {
			t.Errorf("failures %v, events (-want +got):\n%s", failures, diff)
		}
	})
}

// A client whose data a bulk answer has and nobody can read has not gone; where it cannot be told whose data that is, nobody has.
func TestRecoveryEndsNothingOfWhomItCannotRead(t *testing.T) {
	short := dhcpv6.Options{0, 5, 0, 3, 1, 2, 3}
	for name, tc := range map[string]struct {
		bad  dhcpv6.Options
		want []string
	}{
		"by DUID": {join(must(dhcpv6.ClientID{0, 2, 'b'}, dhcpv6.CLTTime(1)), short), []string{"b @101 recovered resume 93", "c 3 ended @101 recovered resume 93"}},
		"nobody":  {must(dhcpv6.CLTTime(1)), []string{"nobody @101 recovered resume 93"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stage := newStage(t, map[string][]script{"a": {
					func(p *peer) {
						if p.subscribed(0) && p.reply(base(90)) && p.data(holds('a', 1, 50, 0), base(91)) && p.data(holds('b', 2, 50, 0), base(92)) &&
							p.data(holds('c', 3, 50, 0), base(93)) && p.data(says(dhcpv6.StatusDataMissing), base(100)) {
							p.gone()
						}
					},
					func(p *peer) { p.bulk(101, holds('a', 1, 40, 10), must(dhcpv6.ClientData{Options: tc.bad})) },
				}})
				config := stage.config()
				config.Tolerant = true
				events, failures := watched(t, 6+len(tc.want), []string{"a"}, config, byRelay)
				want := slices.Concat([]string{"subscribed @90 resume 90", "a 1 @91 resume 91", "b 2 @92 resume 92", "c 3 @93 resume 93", "data-missing @100 resume 93"},
					tc.want, []string{"catch-up-complete @100 recovered resume 100"})
				if diff := cmp.Diff(want, events); diff != "" || len(failures) > 0 {
					t.Errorf("failures %v, events (-want +got):\n%s", failures, diff)
				}
			})
		})
	}
}
