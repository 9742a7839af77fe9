package kea

import (
	"net"
	"strings"
	"testing"
)

// TestKeaServesAlthoughTheRoleIsWrong: a Kea that has been told that this agent is its standby takes it for down, and serves alone. It
// would wait for ever for a peer that says that it is a backup.
func TestKeaServesAlthoughTheRoleIsWrong(t *testing.T) {
	t.Parallel()
	keas, urls := newPair(t, -1)
	l, err := net.Listen("tcp", strings.TrimSuffix(strings.TrimPrefix(urls[1], "http://"), "/"))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, ServerConfig{Push: l})
	kea := keas[0]
	kea.start()
	until(t, "Kea asks how its partner is", func() bool { return r.server.Totals().Requests > 0 })
	kea.until("serves alone", func() bool {
		var heartbeat struct{ State string }
		return kea.command("ha-heartbeat", nil, &heartbeat) == nil && heartbeat.State == "partner-down"
	})
}
