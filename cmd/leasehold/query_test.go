package main

import (
	"net"
	"strings"
	"testing"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// fakeServer answers every query on loopback with what reply makes, then closes; each connection has one query.
func fakeServer(t *testing.T, reply func(m dhcpv6.Message) []dhcpv6.Message) string {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-gone
	})
	go func() {
		defer close(gone)
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			answerOne(t, c, reply)
		}
	}()
	return l.Addr().String()
}

func answerOne(t *testing.T, c net.Conn, reply func(m dhcpv6.Message) []dhcpv6.Message) {
	defer c.Close()
	frame, err := dhcpv6.NewReader(c, nil).Next()
	if err != nil {
		return
	}
	m, err := dhcpv6.ParseMessage(frame)
	if err != nil {
		t.Errorf("query: %v", err)
		return
	}
	for _, r := range reply(m) {
		b, err := dhcpv6.AppendFrame(nil, r)
		if err == nil {
			_, err = c.Write(b)
		}
		if err != nil {
			t.Errorf("answer: %v", err)
		}
	}
	if tc, ok := c.(*net.TCPConn); ok {
		tc.CloseWrite()
	}
}

// appendAll is options, one behind the other.
func appendAll(t *testing.T, parts ...interface {
	AppendBinary([]byte) ([]byte, error)
}) dhcpv6.Options {
	var b []byte
	for _, p := range parts {
		var err error
		if b, err = p.AppendBinary(b); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// script is an answer of so many clients; done tells whether LEASEQUERY-DONE follows, and status what it or the reply says.
func script(t *testing.T, clients int, done bool, status dhcpv6.Status) func(m dhcpv6.Message) []dhcpv6.Message {
	return func(m dhcpv6.Message) []dhcpv6.Message {
		id, _ := m.Options.First(dhcpv6.OptionClientID)
		head := appendAll(t, dhcpv6.ClientID(id), dhcpv6.ServerID{0, 3, 0, 1, 9})
		var tail dhcpv6.Options
		if status != dhcpv6.StatusSuccess {
			tail = appendAll(t, dhcpv6.StatusCode{Status: status, Text: "because"})
		}
		if clients == 0 {
			return []dhcpv6.Message{{Type: dhcpv6.MessageLeasequeryReply, TransactionID: m.TransactionID, Options: append(head, tail...)}}
		}
		var out []dhcpv6.Message
		for n := range clients {
			data := appendAll(t, dhcpv6.ClientData{Options: appendAll(t, dhcpv6.ClientID{0, 2, byte(n)}, dhcpv6.CLTTime(1))})
			out = append(out, dhcpv6.Message{Type: dhcpv6.MessageLeasequeryData, TransactionID: m.TransactionID, Options: data})
		}
		out[0].Type, out[0].Options = dhcpv6.MessageLeasequeryReply, append(head, out[0].Options...)
		if done {
			out = append(out, dhcpv6.Message{Type: dhcpv6.MessageLeasequeryDone, TransactionID: m.TransactionID, Options: tail})
		}
		return out
	}
}

// TestQueryExitStatus: what `leasehold query` prints and ends with, by what its servers do. Either all of one server's answer is
// printed, or nothing.
func TestQueryExitStatus(t *testing.T) {
	const terminated = dhcpv6.StatusQueryTerminated
	good := fakeServer(t, script(t, 3, true, 0))
	empty := fakeServer(t, script(t, 0, false, 0))
	refusing := fakeServer(t, script(t, 0, false, dhcpv6.StatusNotAllowed))
	busy := fakeServer(t, script(t, 0, false, terminated))
	ends := fakeServer(t, script(t, 2, false, 0))
	breaksOff := fakeServer(t, script(t, 2, true, terminated))
	silent := fakeServer(t, func(dhcpv6.Message) []dhcpv6.Message { <-t.Context().Done(); return nil })
	dead := "[::1]:1"
	for name, tc := range map[string]struct {
		servers []string
		flags   []string
		status  int
		lines   int
		says    string
	}{
		"whole":                            {[]string{good}, nil, 0, 3, ""},
		"nothing found":                    {[]string{empty, good}, nil, 3, 0, "nothing found"},
		"dead, then whole":                 {[]string{dead, good}, nil, 0, 3, "connection refused"},
		"refusing, then whole":             {[]string{refusing, good}, nil, 0, 3, "NotAllowed"},
		"terminated, then whole":           {[]string{busy, good}, nil, 0, 3, "QueryTerminated"},
		"ends early, then whole":           {[]string{ends, good}, nil, 0, 3, "answer incomplete"},
		"terminated amid, then whole":      {[]string{breaksOff, good}, nil, 0, 3, "QueryTerminated"},
		"silent, then whole":               {[]string{silent, good}, []string{"--patience", "100ms"}, 0, 3, "server is silent"},
		"all refuse":                       {[]string{refusing, busy, breaksOff}, []string{"--rounds", "1"}, 4, 0, "every server answered"},
		"one refuses, one is dead":         {[]string{refusing, dead}, []string{"--rounds", "1"}, 1, 0, "no complete answer after 2"},
		"all end early":                    {[]string{ends}, []string{"--rounds", "1"}, 1, 0, "no complete answer"},
		"silent to the end":                {[]string{silent}, []string{"--rounds", "1", "--data-timeout", "200ms"}, 1, 0, "server sends nothing"},
		"streamed":                         {[]string{dead, good}, []string{"--stream"}, 0, 3, "complete: 3 clients"},
		"streamed, terminated, then whole": {[]string{busy, good}, []string{"--stream"}, 0, 3, "complete: 3 clients"},
		"streamed, ends early":             {[]string{ends, good}, []string{"--stream"}, 1, 2, "incomplete after 2 clients"},
		"no port":                          {[]string{"::1"}, nil, 1, 0, "server"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"query", "link-address", "2001:db8::", "--json", "--server", strings.Join(tc.servers, ",")}, tc.flags...)
			status, out, errs := leasehold(t, args...)
			if lines := strings.Count(out, "\n"); status != tc.status || lines != tc.lines || !strings.Contains(errs, tc.says) {
				t.Errorf("status %d, %d lines, want %d, %d and %q; printed\n%s%s", status, lines, tc.status, tc.lines, tc.says, out, errs)
			}
		})
	}
}
