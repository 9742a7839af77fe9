package kea

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// pushHandler answers Kea's requests.
type pushHandler struct {
	server         *Server
	started        time.Time
	user, password [32]byte // hashed
	ending         <-chan struct{}
}

// request is a command of Kea's.
type request struct {
	Command   string          `json:"command"`
	Arguments json.RawMessage `json:"arguments"`
}

// response is an answer as Kea gives them.
type response struct {
	Result    int    `json:"result"`
	Text      string `json:"text,omitempty"`
	Arguments any    `json:"arguments,omitempty"`
}

const resultError = 1

// ServeHTTP answers one request.
func (h *pushHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.server.ledger.add(func(t *ServerTotals) { t.Requests++ })
	switch {
	case !h.admitted(r):
		w.Header().Set("WWW-Authenticate", `Basic realm="leasehold"`)
		refuse(w, http.StatusUnauthorized, "user or password is not accepted")
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "this is a backup peer for Kea's HA hook: commands are POSTed as JSON")
		return
	}
	body, done, err := h.body(w, r)
	defer done()
	arrived := h.server.config.now()
	if err != nil {
		h.unread(w, r, err)
		return
	}
	asked, err := parseRequest(body)
	if err != nil {
		h.server.badRequest(r, err)
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	write(w, http.StatusOK, []response{h.command(asked, arrived, h.server.prove(r))}) // a list, as Kea answers over HTTP
}

// parseRequest reads a command, bare or as the one element of a list.
func parseRequest(body []byte) (r request, err error) {
	body = bytes.TrimSpace(body)
	if bytes.HasPrefix(body, []byte{'['}) {
		var elements []request
		if err := json.Unmarshal(body, &elements); err != nil {
			return request{}, fmt.Errorf("not a command in JSON: %w", err)
		}
		if len(elements) != 1 {
			return request{}, fmt.Errorf("a list of %d commands, want one", len(elements))
		}
		r = elements[0]
	} else if err := json.Unmarshal(body, &r); err != nil {
		return request{}, fmt.Errorf("not a command in JSON: %w", err)
	}
	if r.Command == "" {
		return request{}, errors.New("a request without a command")
	}
	return r, nil
}

// refuse answers with an error that HTTP has a status for, and ends the connection: Kea's do not come here. The body is as Kea's own in
// such a case, an object.
func refuse(w http.ResponseWriter, status int, text string) {
	result := resultError
	if status == http.StatusUnauthorized {
		result = status
	}
	w.Header().Set("Connection", "close")
	write(w, status, response{Result: result, Text: text})
}

// write sends an answer: with its length known, header and body go in one segment.
func write(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"result":1,"text":"the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a peer that has gone does not need it
}

// badRequest logs a request that cannot be read.
func (s *Server) badRequest(r *http.Request, err error) {
	s.ledger.add(func(t *ServerTotals) { t.Unread++ })
	s.complain("A request to the listener for pushes cannot be read", "from", r.RemoteAddr, "error", err)
}

// logBad logs a lease that cannot be used, or only without a field.
func (s *Server) logBad(e *RecordError) {
	s.complain("A lease is not used, or a field of it", "place", e.Place, "field", e.Field, "lease_used", e.Kept, "error", e.Err)
}
