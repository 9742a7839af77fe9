package kea

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Bounds of what is read at once. Kea's own requests are a few thousand octets long.
const (
	pushOctets = 4 << 20  // of a request's body
	pushSmall  = 64 << 10 // of a body that is read at once, whoever else is there
	pushLarge  = 4        // longer ones that are taken at the same time
)

// errBusy tells that others have sent as much as can be taken at the same time.
var errBusy = errors.New("other long requests are being taken")

// body reads a request's body; done is to be called when what was made of it is kept or dropped.
func (h *pushHandler) body(w http.ResponseWriter, r *http.Request) (text []byte, done func(), err error) {
	done = func() {}
	limited := http.MaxBytesReader(w, r.Body, pushOctets)
	text, err = io.ReadAll(io.LimitReader(limited, pushSmall))
	if err != nil || len(text) < pushSmall {
		return text, done, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), pushHold)
	defer cancel()
	select {
	case h.server.large <- struct{}{}:
		done = func() { <-h.server.large }
	case <-h.ending:
		return nil, done, errBusy
	case <-ctx.Done():
		return nil, done, errBusy
	}
	rest, err := io.ReadAll(limited)
	return append(text, rest...), done, err
}

// unread answers a request whose body did not arrive whole.
func (h *pushHandler) unread(w http.ResponseWriter, r *http.Request, err error) {
	h.server.badRequest(r, err)
	h.server.miss() // what it would have said is lost
	tooLong := (*http.MaxBytesError)(nil)
	switch {
	case errors.As(err, &tooLong):
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a request may have %d octets", tooLong.Limit))
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", fmt.Sprintf("%d", pushHold/time.Second))
		refuse(w, http.StatusServiceUnavailable, err.Error())
	default:
		refuse(w, http.StatusBadRequest, "the request is not whole")
	}
}
