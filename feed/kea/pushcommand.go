package kea

import (
	"fmt"
	"os"
	"slices"
	"time"
)

// command does a command and gives its answer.
func (h *pushHandler) command(r request, arrived time.Time, conn uint64) response {
	switch r.Command {
	case "lease6-bulk-apply":
		return h.apply(r, arrived, conn)
	case "lease6-add", "lease6-update":
		return h.single(r, arrived, conn, false)
	case "lease6-del":
		return h.single(r, arrived, conn, true)
	case "list-commands":
		return response{Arguments: slices.Clone(pushCommands[:])}
	case "version-get":
		return response{Text: "leasehold", Arguments: map[string]any{"extended": "leasehold, a backup peer for Kea's HA hook"}}
	case "build-report":
		return response{Text: "leasehold is not built like Kea"}
	case "status-get":
		return response{Arguments: map[string]any{
			"pid": os.Getpid(), "uptime": int64(h.server.config.now().Sub(h.started).Seconds()), "reload": int64(h.server.config.now().Sub(h.started).Seconds()),
		}}
	case "ha-heartbeat":
		return h.heartbeat()
	}
	return response{Result: resultUnsupported, Text: fmt.Sprintf("'%s' command not supported: this is leasehold, a backup peer for Kea's HA hook", clip([]byte(r.Command)))}
}

// heartbeat refuses to be a partner. Kea's hook asks its failover peer alone how it is, and never a backup peer: whoever asks has been
// told that this is its standby or secondary. It would wait for ever for such a peer to synchronise, and serve nobody meanwhile; a
// peer that refuses is down for it, and it serves its clients.
func (h *pushHandler) heartbeat() response {
	h.server.complain("A Kea takes this agent for its failover partner and sends no leases: give it the role \"backup\" in Kea's configuration")
	return response{Result: resultError, Text: "this is leasehold, a backup peer: give it the role \"backup\", it cannot be another"}
}

// pushCommands are the commands that are known.
var pushCommands = [...]string{
	"build-report", "ha-heartbeat", "lease6-add", "lease6-bulk-apply", "lease6-del", "lease6-update", "list-commands", "status-get", "version-get",
}

// submit gives rows to the pump and waits for the cluster. The text is why that did not come to its end; empty: it did.
func (h *pushHandler) submit(rows []row, octets int, arrived time.Time, conn uint64) string {
	s := h.server
	if len(rows) == 0 {
		return ""
	}
	s.ledger.add(func(t *ServerTotals) { t.Pushed += uint64(len(rows)) })
	p := &held{rows: rows, count: len(rows), octets: octets, arrived: arrived, conn: conn, stated: make(chan (<-chan struct{}), 1)}
	hold := pushHold
	if s.breaker.tripped() {
		hold = pushHoldShort
	}
	timer := time.NewTimer(hold)
	defer timer.Stop()
	if !s.queue.put(p) {
		s.breaker.trip() // first: what is missed is made good when the cluster is back
		s.miss()
		s.ledger.add(func(t *ServerTotals) { t.Late++ })
		return "the cluster acknowledges nothing, and no more can be kept for it"
	}
	if s.config.PushEarly && !s.queue.much() {
		return ""
	}
	var receipt <-chan struct{}
	for {
		select {
		case receipt = <-p.stated:
		case <-receipt:
			return ""
		case <-h.ending:
			return "this agent is ending"
		case <-timer.C:
			s.breaker.trip()
			s.ledger.add(func(t *ServerTotals) { t.Late++ })
			return "the cluster did not acknowledge in time; it is tried on"
		}
	}
}
