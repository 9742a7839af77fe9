package kea

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// instantHandler answers without a cluster: everything that is put is acknowledged. The rows are kept.
func instantHandler(t testing.TB) (h *pushHandler, taken func() []row) {
	t.Helper()
	s, err := NewServer(ServerConfig{Leases: "x", now: recordedNow})
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	ending, done := make(chan struct{}), make(chan struct{})
	receipt := make(chan struct{})
	close(receipt)
	go func() {
		defer close(done)
		for {
			select {
			case <-s.queue.ready:
				for _, p := range s.queue.take() {
					rows = append(rows, p.rows...)
					s.queue.done(p)
					p.tell(receipt)
				}
			case <-ending:
				return
			}
		}
	}()
	t.Cleanup(func() { close(ending); <-done })
	return &pushHandler{server: s, ending: ending}, func() []row {
		r := rows
		rows = nil
		return r
	}
}

// FuzzPushBody holds what is made of any body against encoding/json: it is an answer of Kea's form, every lease in it is either
// taken or named as failed, and those that were good before stay good.
func FuzzPushBody(f *testing.F) {
	for _, path := range recordings(f) {
		bodies, _ := recorded(f, path)
		for _, b := range bodies {
			f.Add([]byte(b))
		}
	}
	for _, b := range []string{"", "{}", "[]", "[{}]", `{"command":"ha-heartbeat"}`, `{"command":"lease6-bulk-apply","arguments":{"leases":[{}],"deleted-leases":[[]]}}`,
		`{"command":"lease6-add","arguments":{"ip-address":"2001:db8::1"}}`, bulk([]map[string]any{someLease(0, nil)}, []map[string]any{someLease(1, nil)})} {
		f.Add([]byte(b))
	}
	h, taken := instantHandler(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		before := h.server.Totals()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
		rows, after := taken(), h.server.Totals()
		reply, err := readReply(w.Code, w.Body.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		var q struct {
			Command   string
			Arguments struct {
				Leases  []json.RawMessage
				Deleted []json.RawMessage `json:"deleted-leases"`
			}
		}
		if json.Unmarshal(body, &q) != nil || q.Command != "lease6-bulk-apply" {
			return
		}
		leases := len(q.Arguments.Leases) + len(q.Arguments.Deleted)
		refused := int(after.Refused - before.Refused)
		if reply.result == 0 && len(rows)+refused != leases {
			t.Errorf("of %d leases %d are taken and %d are counted as bad", leases, len(rows), refused)
		}
		if len(reply.failed) != min(refused, failedMost) {
			t.Errorf("%d leases are listed as failed and %d are counted", len(reply.failed), refused)
		}
		for _, failed := range reply.failed {
			if text := fmt.Sprint(failed["error-message"]); !strings.Contains(text, "leases[") {
				t.Errorf("a failure without a place: %s", text)
			}
		}
	})
}

// FuzzPushOctets sends any octets to the socket: whatever they are, the next peer is served.
func FuzzPushOctets(f *testing.F) {
	good := bulk([]map[string]any{someLease(0, nil)}, nil)
	whole := fmt.Sprintf("POST / HTTP/1.1\r\nHost: 192.0.2.2\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n%s", len(good), good)
	for _, s := range []string{whole, whole + whole, whole[:40], whole[:len(whole)-5], strings.Replace(whole, "Content-Length: ", "Content-Length: 9", 1),
		"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\n5\r\n{\"com\r\n", "POST / HTTP/9.9\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", strings.Repeat("A", 20000)} {
		f.Add([]byte(s))
	}
	r := start(f, ServerConfig{now: recordedNow})
	address := strings.TrimSuffix(strings.TrimPrefix(r.url, "http://"), "/")
	f.Fuzz(func(t *testing.T, octets []byte) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(octets) // it may have been closed by then
		_ = c.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("the connection stays: %v", err)
		}
		reply, err := post(t.Context(), r.client, r.url, bulk([]map[string]any{someLease(1, nil)}, nil), nil)
		if err != nil || reply.result != 0 {
			t.Errorf("the next peer: %+v, %v", reply, err)
		}
	})
}
