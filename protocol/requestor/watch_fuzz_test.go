package requestor

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// octets is a connection on which the server's octets come, whatever is asked, and then nothing more.
type octets struct {
	net.Conn
	left []byte
}

func (o *octets) Read(p []byte) (int, error) {
	if len(o.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, o.left)
	o.left = o.left[n:]
	return n, nil
}
func (o *octets) Write(p []byte) (int, error)      { return len(p), nil }
func (o *octets) Close() error                     { return nil }
func (o *octets) SetReadDeadline(time.Time) error  { return nil }
func (o *octets) SetWriteDeadline(time.Time) error { return nil }

// FuzzWatch: whatever a server says gives events or an error. Bindings are at most as many as there were octets for.
func FuzzWatch(f *testing.F) {
	id := dhcpv6.TransactionID{} // set below
	frame := func(kind dhcpv6.MessageType, options ...dhcpv6.Options) []byte {
		b, err := dhcpv6.AppendFrame(nil, message(kind, id, join(options...)))
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	const reply, data, done = dhcpv6.MessageLeasequeryReply, dhcpv6.MessageLeasequeryData, dhcpv6.MessageLeasequeryDone
	for _, messages := range [][][]byte{
		{frame(reply, head(), base(100)), frame(data, base(101), holds('a', 1, 50, 0)), frame(data, base(102))},
		{frame(reply, head(), base(100), holds('a', 1, 50, 0)), frame(data, base(101), holds('a', 1, 0, 0)), frame(done, says(dhcpv6.StatusQueryTerminated))},
		{frame(reply, head(), base(100), says(dhcpv6.StatusDataMissing)), frame(data, base(101), says(dhcpv6.StatusDataMissing))},
		{frame(reply, head(), base(100)), frame(data, base(101), says(dhcpv6.StatusCatchUpComplete)), frame(data, base(101), says(dhcpv6.StatusCatchUpComplete))},
		{frame(reply, head(), says(dhcpv6.StatusNotAllowed))},
		{frame(reply, head(), base(100), must(dhcpv6.ClientData{Options: join(client(1), must(relayed(32)))})), {0xff, 0xff, 0}},
		{{0, 3, 0}},
	} {
		var all []byte
		for _, m := range messages {
			all = append(all, m...)
		}
		f.Add(all, true)
		f.Add(all, false)
	}
	f.Fuzz(func(t *testing.T, server []byte, start bool) {
		q := byRelay
		q.Table = NewReplica(0)
		if start {
			q = since(90)
			q.Table = NewReplica(0)
		}
		w := &watcher{config: Config{ClientID: ownID, Report: func(Attempt) {}}.withDefaults(), query: q, table: q.Table}
		w.handler = func(e *Event) error {
			if e.Kind == EventChange && e.Client == nil || e.Kind != EventChange && e.Client != nil {
				t.Errorf("event %+v", *e)
			}
			_, err := e.AppendJSON(nil)
			return err
		}
		if start {
			w.from, w.resume = baseTime{90, true}, baseTime{90, true}
		}
		s := &subscription{watcher: w, target: &target{name: "a", address: "a"}}
		ctx, cancel := context.WithCancelCause(t.Context())
		s.cancel, s.recovering = cancel, true // a recovery would ask on a second connection
		defer cancel(nil)
		s.conn = &Conn{server: "a", config: w.config, heard: func() {}, socket: &octets{left: server}}
		s.conn.frames = dhcpv6.NewReader(timedReader{s.conn}, nil)
		err := s.receive(ctx)
		if err == nil || !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrIncomplete) && refusedOr(err) == nil {
			t.Errorf("ended with %v", err)
		}
		if got := len(q.Table.words); got > len(server)/24 { // OPTION_IAPREFIX is 29 octets, OPTION_IAADDR 28
			t.Errorf("%d bindings out of %d octets", got, len(server))
		}
	})
}

// refusedOr is the error if it is a status.
func refusedOr(err error) error {
	if s, ok := errors.AsType[*StatusError](err); ok {
		return s
	}
	return nil
}
