package health

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Heartbeat is how often /readyz/watch says at the least how things are. Whoever reads it and hears nothing for some of them knows
// that the process hangs.
const Heartbeat = 100 * time.Millisecond

const (
	maxWatchers = 16              // readers of /readyz/watch at once
	lineTimeout = 2 * time.Second // for a reader to take a line
)

// watch streams the lines of /readyz: one at once, one at each change, and at least one each Heartbeat, until the reader goes or
// the server ends. The last line of a server that ends is that it is not ready.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	select {
	case s.watchers <- struct{}{}:
		defer func() { <-s.watchers }()
	default:
		answer(w, http.StatusTooManyRequests, "too many watchers\n")
		return
	}
	stream := http.NewResponseController(w)
	if err := stream.SetReadDeadline(time.Time{}); err != nil { // that of the request must not end the stream
		answer(w, http.StatusInternalServerError, "the connection cannot be watched\n")
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	say := func(why []string) bool {
		if stream.SetWriteDeadline(time.Now().Add(lineTimeout)) != nil {
			return false
		}
		if _, err := w.Write([]byte(line(why))); err != nil {
			return false
		}
		return stream.Flush() == nil
	}
	if s.sayEach(r.Context(), say) {
		say([]string{"stopping: the node ends"}) // a reader that is gone is nobody's loss
	}
}

// sayEach says how things are at each change and each Heartbeat. It returns true when the server ends, false when ctx did or
// say failed.
func (s *Server) sayEach(ctx context.Context, say func(why []string) bool) bool {
	beat := time.NewTicker(Heartbeat)
	defer beat.Stop()
	var last []string
	for due := true; ; {
		changed := s.changed()
		if why := s.reasons(); due || !slices.Equal(why, last) {
			if !say(why) {
				return false
			}
			last = why
		}
		select {
		case <-changed:
			due = false
		case <-beat.C:
			due = true
		case <-ctx.Done():
			return false
		case <-s.ending:
			return true
		}
	}
}

// line is what /readyz says of a node that is not ready for these reasons, or ready when there are none.
func line(why []string) string {
	if len(why) == 0 {
		return "ready\n"
	}
	return "not ready: " + strings.ReplaceAll(strings.Join(why, "; "), "\n", " ") + "\n"
}
