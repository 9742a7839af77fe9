package kea

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
)

// recordedCommand is a command as it comes over HTTP.
type recordedCommand struct {
	Command   string         `json:"command"`
	Service   []string       `json:"service"`
	Arguments map[string]any `json:"arguments"`
}

// recordedKea answers with a recording of lease6-get-page.
func recordedKea(t *testing.T, folder string) http.Handler {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "lease6-get-page.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]json.RawMessage{}
	for line := range bytes.Lines(text) {
		var p struct {
			Request  recordedCommand
			Response json.RawMessage
		}
		if err := json.Unmarshal(line, &p); err != nil {
			t.Fatal(err)
		}
		pages[fmt.Sprint(p.Request.Arguments["from"])] = p.Response
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c recordedCommand
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil || r.Method != http.MethodPost || r.URL.Path != "/" ||
			r.Header.Get("Content-Type") != "application/json" || len(c.Service) != 1 || c.Service[0] != "dhcp6" || r.ContentLength <= 0 {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		switch page := pages[fmt.Sprint(c.Arguments["from"])]; {
		case c.Command == "lease6-get-page" && page != nil && c.Arguments["limit"] == 100.0:
			fmt.Fprintf(w, "[ %s ]", page)
		case c.Command == "config-get":
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"result": 403, "text": "Forbidden"}`)
		default:
			io.WriteString(w, `[ { "result": 2, "text": "not supported" } ]`)
		}
	})
}

func TestWalkOfRecordedPages(t *testing.T) {
	for _, s := range samples {
		server := httptest.NewServer(recordedKea(t, s.folder))
		defer server.Close()
		b := &book{}
		config := walkConfig{control: newTestControl(t, ControlConfig{URL: server.URL}), page: 100, keaConfig: filepath.Join(s.folder, "kea.conf")}
		_, _ = follow(t, config, b)
		want := map[string]string{}
		for _, text := range pageObjects(t, filepath.Join(s.folder, "lease6-get-page.jsonl")) {
			var l pageLease
			if err := json.Unmarshal(text, &l); err != nil {
				t.Fatal(err)
			}
			want[l.Address] = l.summary()
		}
		got := b.complete(t, 1)
		if len(want) < 500 || len(got) != len(want) {
			t.Errorf("%s: %d leases, want %d", s.folder, len(got), len(want))
		}
		for a := range want {
			if got[a] != want[a] {
				t.Errorf("%s: %s\n got %s\nwant %s", s.folder, a, got[a], want[a])
			}
		}
		if !b.linked || len(b.links) < 3 {
			t.Errorf("%s: the configuration file is not read in place of config-get: %d links", s.folder, len(b.links))
		}
		if skew, measured := config.control.Skew(); !measured || skew.Abs() > 10*time.Second {
			t.Errorf("skew %v, measured %v", skew, measured)
		}
	}
}

func TestReply(t *testing.T) {
	for name, tc := range map[string]struct {
		body   string
		status int
		want   error // nil: taken
		text   string
	}{
		"object":              {`{"result":0,"text":"yes"}`, 0, nil, ""},
		"list":                {" \r\n\t[ {\"result\":0} ]", 200, nil, ""},
		"empty page":          {`[{"result":3,"text":"0 IPv6 lease(s) found."}]`, 200, nil, ""},
		"error":               {`[{"result":1,"text":"bad argument"}]`, 200, &CommandError{}, "result 1: bad argument"},
		"hook missing":        {`{"result":2,"text":"'lease6-get-page' command not supported."}`, 0, ErrUnsupported, "libdhcp_lease_cmds.so"},
		"forbidden":           {`{"result":403,"text":"Forbidden"}`, 403, ErrForbidden, "restrict-commands"},
		"forbidden, bare":     {``, 403, ErrForbidden, "HTTP status 403"},
		"unauthorized":        {`[{"result":401,"text":"Unauthorized"}]`, 401, ErrUnauthorized, "password file"},
		"agent without Kea":   {`[{"result":1,"text":"forwarding socket is not configured for the server type dhcp6"}]`, 200, &CommandError{}, "control-sockets.dhcp6"},
		"somebody else":       {`<html>`, 404, &CommandError{}, "command API"},
		"broken server":       {`oops`, 500, &CommandError{}, "HTTP status 500"},
		"not JSON":            {`<html>`, 200, ErrReply, ""},
		"cut short":           {`{"result":0,"arguments":{"leases":[{"`, 0, ErrReply, ""},
		"no result":           {`{"text":"x"}`, 0, ErrReply, "no result"},
		"result of text":      {`{"result":"0"}`, 0, ErrReply, ""},
		"empty list":          {`[]`, 200, ErrReply, "a list of 0"},
		"two":                 {`[{"result":0},{"result":0}]`, 200, ErrReply, "a list of 2"},
		"list of lists":       {`[[{"result":0}]]`, 200, ErrReply, ""},
		"two objects":         {`{"result":0}{"result":0}`, 0, ErrReply, ""},
		"nothing":             {``, 0, ErrReply, ""},
		"number":              {`7`, 0, ErrReply, ""},
		"text of many octets": {`{"result":1,"text":"` + strings.Repeat("x", 5000) + `"}`, 0, &CommandError{}, strings.Repeat("x", 300)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseReply("lease6-get-page", answer{body: []byte(tc.body), status: tc.status})
			var command *CommandError
			switch {
			case tc.want == nil && err != nil:
				t.Errorf("error %v", err)
			case tc.want == nil:
			case err == nil:
				t.Error("taken")
			case errors.As(tc.want, new(*CommandError)) && !errors.As(err, &command):
				t.Errorf("error %v of %T", err, err)
			case !errors.As(tc.want, new(*CommandError)) && !errors.Is(err, tc.want):
				t.Errorf("error %v, want %v", err, tc.want)
			case !strings.Contains(err.Error(), tc.text) || len(err.Error()) > 700:
				t.Errorf("error %q does not say %q, or is long", err, tc.text)
			}
		})
	}
}

func FuzzReply(f *testing.F) {
	f.Add([]byte(`[{"result":0,"arguments":{"count":1,"leases":[`+leaseText+`]}}]`), 200)
	f.Add([]byte(`{"result":0,"arguments":{"leases":[{"ip-address":7},[],`+leaseText+`]}}`), 0)
	f.Add([]byte(`{"result":403,"text":"Forbidden"}`), 403)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		r, err := parseReply("lease6-get-page", answer{body: body, status: status})
		if err != nil {
			if !errors.Is(err, ErrReply) && !errors.As(err, new(*CommandError)) {
				t.Fatalf("error %v of %T", err, err)
			}
			return
		}
		var p page
		if err := p.read(r.arguments, "a page"); err != nil {
			if !errors.Is(err, ErrReply) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if len(p.rows)+len(p.bad) != p.listed || (p.listed > 0 && p.cursor == "") {
			t.Fatalf("%d rows and %d bad of %d, cursor %q", len(p.rows), len(p.bad), p.listed, p.cursor)
		}
		for _, b := range p.bad {
			if b.Place == "" || b.Err == nil {
				t.Fatalf("no place or error: %v", b)
			}
		}
	})
}

func TestPageWithBadLeases(t *testing.T) {
	var p page
	text := `{"count":3,"leases":[` + leaseText + `,{"ip-address":"2001:db8::7","iaid":-1},` + strings.Replace(leaseText, "a100", "a101", 1) + `]}`
	if err := p.read([]byte(text), "lease6-get-page from start"); err != nil {
		t.Fatal(err)
	}
	if len(p.rows) != 2 || len(p.bad) != 1 || p.cursor != "2001:db8:a101::" {
		t.Fatalf("%d rows, bad %v, cursor %q", len(p.rows), p.bad, p.cursor)
	}
	const want = "lease6-get-page from start: lease 2 2001:db8::7: field iaid: "
	if got := p.bad[0].Error(); !strings.HasPrefix(got, want) || !errors.Is(p.bad[0], ErrNumber) {
		t.Errorf("error %q, want %q…", got, want)
	}
	if err := p.read([]byte(`{"leases":[{}]}`), "x"); !errors.Is(err, ErrReply) {
		t.Errorf("a page without cursor: %v", err)
	}
}

func TestControlConfig(t *testing.T) {
	for url, ok := range map[string]bool{
		"unix:/run/kea/s": true, "/run/kea/s": true, "http://127.0.0.1:8000/": true, "https://[::1]:8000": true,
		"": false, "unix:": false, "unix:run/kea": false, "unix://host/path": false, "http:///": false, "ftp://x/": false, "run/kea": false, "http://u:p@x/": false, "http://[::1/": false,
	} {
		if _, err := NewControl(ControlConfig{URL: url}); (err == nil) != ok || (err != nil && !errors.Is(err, ErrConfig)) {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, c := range []ControlConfig{{Password: "x"}, {PasswordFile: "x"}, {Certificate: "x"}, {Key: "x"}} {
		c.URL = "https://x/"
		if _, err := NewControl(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestControlOverHTTPEnds(t *testing.T) {
	hung := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		select {
		case <-hung:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hung)
	c := newTestControl(t, ControlConfig{URL: server.URL, Timeout: 50 * time.Millisecond})
	if _, err := c.version(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("hung: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.version(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestControlOverUnixEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	hung, err := net.Listen("unix", path+"h") // nobody accepts, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	if _, err := newTestControl(t, ControlConfig{URL: "unix:" + path + "h", Timeout: 50 * time.Millisecond}).version(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hung: %v", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	answers := make(chan string, 1)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4096))
			io.WriteString(conn, <-answers)
			conn.Close()
		}
	}()
	c := newTestControl(t, ControlConfig{URL: "unix:" + path}) // whoever answers has time for it
	answers <- `{"result":0,"te`
	if _, err := c.version(t.Context()); !errors.Is(err, ErrReply) {
		t.Errorf("cut short: %v", err)
	}
	answers <- `{"result":0,"text":"9.9"}`
	if v, err := c.version(t.Context()); err != nil || v != "9.9" {
		t.Errorf("version %q, %v", v, err)
	}
	listener.Close()
	if _, err := c.version(t.Context()); err == nil || !strings.Contains(err.Error(), "is Kea running") {
		t.Errorf("away: %v", err)
	}
	if _, err := newTestControl(t, ControlConfig{URL: path + "x"}).version(t.Context()); err == nil || !strings.Contains(err.Error(), "is Kea running") {
		t.Errorf("never there: %v", err)
	}
}

// TestControlMeetsAClosingConnection: Kea closes a connection that was idle at the moment at which the next command is sent on it.
func TestControlMeetsAClosingConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections, requests atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			buffer := make([]byte, 4096)
			for range 2 {
				n, err := conn.Read(buffer)
				if err != nil {
					break
				}
				if requests.Add(1)%2 == 0 {
					break // read, and closed without an answer
				}
				if !bytes.Contains(buffer[:n], []byte("\r\n\r\n{")) || bytes.Contains(bytes.ToLower(buffer[:n]), []byte("idempotency")) {
					t.Errorf("header and body came apart, or too much: %q", buffer[:n])
				}
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n"+`{"result":0,"text":"9.9"}`)
			}
			conn.Close()
		}
	}()
	c := newTestControl(t, ControlConfig{URL: "http://" + listener.Addr().String()})
	for range 3 {
		if v, err := c.version(t.Context()); err != nil || v != "9.9" {
			t.Errorf("version %q, %v", v, err)
		}
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections for three commands, each second of which is cut off", n)
	}
	c.Close()
	listener.Close()
	<-done
}

func TestReplyIsCapped(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte(" "), 1<<10)
		for range 64 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	if _, err := newTestControl(t, ControlConfig{URL: server.URL, longest: 32 << 10}).version(t.Context()); !errors.Is(err, errTooLong) {
		t.Errorf("error %v", err)
	}
}

func TestLeaseIsReread(t *testing.T) {
	k := newKea(t, nil)
	k.start()
	k.addMany(0, 10)
	c := k.asks()
	all := k.all()
	for i := range 10 {
		l := madeLease(i)
		address := netip.MustParseAddr(l["ip-address"].(string))
		kind := binding.NA
		if l["type"] == "IA_PD" {
			kind = binding.PD
		}
		r, found, asked, err := c.lease(t.Context(), address, kind)
		if err != nil || !found || asked.IsZero() || summaryOf(r) != all[address.String()] {
			t.Errorf("%v: found %v, asked %v, %v\n got %s\nwant %s", address, found, asked, err, summaryOf(r), all[address.String()])
		}
	}
	if _, found, _, err := c.lease(t.Context(), netip.MustParseAddr("2001:db8::7"), binding.NA); found || err != nil {
		t.Errorf("a lease that nobody has: %v, %v", found, err)
	}
	if v, err := c.version(t.Context()); err != nil || !strings.HasPrefix(v, "2.") {
		t.Errorf("version %q, %v", v, err)
	}
	if _, err := c.ask(t.Context(), "lease6-nonsense", nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("unknown command: %v", err)
	}
}
