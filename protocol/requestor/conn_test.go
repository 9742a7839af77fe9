package requestor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

func TestQuerySeveralOnOneConnection(t *testing.T) {
	s := newScripted(t, map[string][]act{"a": {once(whole(0, 3), whole(0, 0), status(dhcpv6.StatusNotConfigured), whole(0, 1))}})
	c, err := Dial(t.Context(), "a", s.config())
	if err != nil {
		t.Fatal(err)
	}
	var all [][]int
	var failure error
	for range 4 {
		var got []int
		if err := c.Query(t.Context(), everything, collect(&got)); err != nil {
			failure = err
		}
		all = append(all, got)
	}
	if diff := cmp.Diff([][]int{upTo(3), nil, nil, upTo(1)}, all); diff != "" {
		t.Errorf("clients of each answer (-want +got):\n%s", diff)
	}
	want := &StatusError{Status: dhcpv6.StatusNotConfigured, Text: "because"}
	if got, ok := errors.AsType[*StatusError](failure); !ok || *got != *want {
		t.Errorf("third answer: %v, want %v", failure, want)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Query(t.Context(), everything, nil); !errors.Is(err, ErrBroken) {
		t.Errorf("query after Close: %v, want ErrBroken", err)
	}
}

func TestAnswersThatAreWrong(t *testing.T) {
	one := func(kind dhcpv6.MessageType, options dhcpv6.Options) func(dhcpv6.TransactionID) []dhcpv6.Message {
		return func(id dhcpv6.TransactionID) []dhcpv6.Message { return []dhcpv6.Message{message(kind, id, options)} }
	}
	data := must(dhcpv6.ClientData{Options: client(0)})
	after := func(kind dhcpv6.MessageType, options dhcpv6.Options) func(dhcpv6.TransactionID) []dhcpv6.Message {
		return func(id dhcpv6.TransactionID) []dhcpv6.Message {
			return append(part(0, 1)(id), message(kind, id, options))
		}
	}
	for name, reply := range map[string]func(dhcpv6.TransactionID) []dhcpv6.Message{
		"data before the reply":          one(dhcpv6.MessageLeasequeryData, data),
		"done before the reply":          one(dhcpv6.MessageLeasequeryDone, nil),
		"a second reply":                 after(dhcpv6.MessageLeasequeryReply, head()),
		"another message type":           after(dhcpv6.MessageReply, nil),
		"no server-id":                   one(dhcpv6.MessageLeasequeryReply, must(dhcpv6.ClientID(ownID))),
		"no client-id":                   one(dhcpv6.MessageLeasequeryReply, must(dhcpv6.ServerID(serverID))),
		"another requestor's client-id":  one(dhcpv6.MessageLeasequeryReply, must(dhcpv6.ClientID(serverID), dhcpv6.ServerID(serverID))),
		"options cut short":              after(dhcpv6.MessageLeasequeryData, dhcpv6.Options{0, 1, 0}),
		"client data cut short":          after(dhcpv6.MessageLeasequeryData, must(dhcpv6.ClientData{Options: client(0)[:9]})),
		"client data without client-id":  after(dhcpv6.MessageLeasequeryData, must(dhcpv6.ClientData{Options: must(dhcpv6.CLTTime(1))})),
		"client data without clt-time":   after(dhcpv6.MessageLeasequeryData, must(dhcpv6.ClientData{Options: must(dhcpv6.ClientID(ownID))})),
		"status cut short":               after(dhcpv6.MessageLeasequeryDone, dhcpv6.Options{0, 13, 0, 1, 0}),
		"base time of the wrong size":    after(dhcpv6.MessageLeasequeryData, join(data, dhcpv6.Options{0, 100, 0, 1, 0})),
		"a frame of under 4 octets":      one(0, dhcpv6.Options{0, 3, 15, 0, 0}),
		"another query's transaction-id": func(id dhcpv6.TransactionID) []dhcpv6.Message { id[0]++; return whole(0, 1)(id) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScripted(t, map[string][]act{"a": {{replies: []func(dhcpv6.TransactionID) []dhcpv6.Message{reply}, silent: true}}})
			c, err := Dial(t.Context(), "a", s.config())
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			if err := c.Query(t.Context(), everything, collect(&got)); !errors.Is(err, ErrProtocol) {
				t.Errorf("got %v, want ErrProtocol", err)
			}
			if err := c.Query(t.Context(), everything, collect(&got)); !errors.Is(err, ErrBroken) {
				t.Errorf("next query: %v, want ErrBroken", err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// RFC 5460 6.3: a LEASEQUERY-DATA without client data is discarded; the answer goes on.
func TestDataWithoutClientIsDiscarded(t *testing.T) {
	s := newScripted(t, map[string][]act{"a": {once(func(id dhcpv6.TransactionID) []dhcpv6.Message {
		all := part(0, 1)(id)
		all = append(all, message(dhcpv6.MessageLeasequeryData, id, must(dhcpv6.BaseTime(5))))
		return append(all, message(dhcpv6.MessageLeasequeryData, id, must(dhcpv6.ClientData{Options: client(1)})),
			message(dhcpv6.MessageLeasequeryDone, id, nil))
	})}})
	c, err := Dial(t.Context(), "a", s.config())
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	if err := c.Query(t.Context(), everything, collect(&got)); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(upTo(2), got); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnswerThatBreaksOff(t *testing.T) {
	s := newScripted(t, map[string][]act{"a": {once(part(0, 3))}})
	c, err := Dial(t.Context(), "a", s.config())
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	if err := c.Query(t.Context(), everything, collect(&got)); !errors.Is(err, ErrIncomplete) {
		t.Errorf("got %v, want ErrIncomplete", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestServerThatSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, map[string][]act{"a": {{replies: []func(dhcpv6.TransactionID) []dhcpv6.Message{part(0, 3)}, silent: true}}})
		c, err := Dial(t.Context(), "a", s.config())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var got []int
		if err := c.Query(t.Context(), everything, collect(&got)); !errors.Is(err, ErrStalled) {
			t.Errorf("got %v, want ErrStalled", err)
		}
		if d := time.Since(start); d != DefaultDataTimeout {
			t.Errorf("given up after %v, want BULK_LQ_DATA_TIMEOUT", d)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestContextEndsAQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, map[string][]act{"a": {{replies: []func(dhcpv6.TransactionID) []dhcpv6.Message{part(0, 3)}, silent: true}}})
		c, err := Dial(t.Context(), "a", s.config())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var got []int
		if err := c.Query(ctx, everything, collect(&got)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		if diff := cmp.Diff(upTo(3), got); diff != "" {
			t.Errorf("clients (-want +got):\n%s", diff)
		}
	})
}

func TestSinkErrorEndsAQuery(t *testing.T) {
	s := newScripted(t, map[string][]act{"a": {once(whole(0, 3))}})
	c, err := Dial(t.Context(), "a", s.config())
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	if err := c.Query(t.Context(), everything, func(*Client) error { return full }); !errors.Is(err, full) {
		t.Errorf("got %v, want the sink's error", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
