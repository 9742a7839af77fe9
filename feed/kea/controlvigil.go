package kea

import (
	"context"
	"fmt"
)

// vigil watches one Kea by its health: whether it may lack leases that its HA partner has, and whether something happened since it
// was last looked at that only a full statement mends. It is used by one goroutine.
type vigil struct {
	control *Control
	seen    bool
	away    bool // Kea could not be asked at some time since this was last set to false
	last    health
	lacking string // why Kea may lack leases, as of the last look; empty: it has all
	behind  bool   // whether what Kea has is older than what its partner has, as of the last look: it answers no client
	// unsynced: of each pair, whether this server was last seen on its way to a synchronisation that it has not finished.
	unsynced map[int]bool
}

func newVigil(control *Control) *vigil { return &vigil{control: control, unsynced: map[int]bool{}} }

// look asks Kea how it is. news is why a full statement is due, for people; empty: nothing happened, or it is the first look.
func (v *vigil) look(ctx context.Context) (news string, err error) {
	h, err := v.control.health(ctx)
	if err != nil {
		v.away = true
		return "", err
	}
	restarted := h.process && v.last.process && (h.pid != v.last.pid || h.started.after(v.last.started))
	if restarted {
		for i := range h.pairs { // it has begun in state waiting, whether that was seen or not
			v.unsynced[i] = true
		}
	}
	before, behind := v.lacking, v.behind
	v.lacking, v.behind = v.weigh(h), h.behind()
	switch {
	case !v.seen:
	case restarted:
		news = "Kea has been restarted"
	case h.process && v.last.process && h.reloaded.after(v.last.reloaded):
		news = "Kea has read its configuration anew"
	case before != "" && v.lacking == "":
		news = "Kea has all leases again"
	case behind && !v.behind:
		news = "Kea answers clients again"
	}
	v.seen, v.last = true, h
	return news, nil
}

// weigh tells why this Kea may lack leases that its partner has given. The states are those of Kea's HA hook:
//
//	hot-standby, load-balancing  has all: each sends the other what it gives, before the client has it. Not while the partner does not
//	                             answer: it may be cut off and serve its clients.
//	passive-backup               has all: it alone answers clients.
//	partner-down                 has all that is to be had: it alone answers clients, and had its partner's leases before. Not when it
//	                             came here from waiting or syncing: then it was away, and never got what its partner gave meanwhile.
//	partner-in-maintenance       has all: it alone answers clients, and had its partner's leases before.
//	in-maintenance               may lack: its partner answers all clients, and goes on doing so when its updates are lost.
//	waiting                      may lack: it has just begun, and its partner served meanwhile.
//	syncing                      may lack: it is fetching what its partner has.
//	ready                        may lack: it has fetched that, but the partner sends updates only when it has noticed.
//	communication-recovery       may lack: both serve, and keep for each other what they could not send.
//	terminated                   may lack: both serve and send each other nothing, until people restart them.
//	backup                       may lack: it never fetches, and nobody waits for its answers.
//	unavailable, anything else   may lack: nobody knows.
//
// Of several relationships, as a hub has them, one is enough.
func (v *vigil) weigh(h health) (lacking string) {
	for i, p := range h.pairs {
		why := ""
		switch p.state {
		case "hot-standby", "load-balancing":
			v.unsynced[i] = false
			if p.interrupted {
				why = fmt.Sprintf("its HA partner does not answer it in state %s", p.state)
			}
		case "passive-backup", "partner-in-maintenance":
			v.unsynced[i] = false
		case "partner-down":
			if v.unsynced[i] {
				why = "it began in HA state partner-down without its partner's leases"
			}
		case "":
			why = "it does not tell its HA state"
		case "waiting", "syncing", "ready":
			v.unsynced[i] = p.state != "ready"
			why = "HA state " + p.state
		default:
			why = "HA state " + p.state
		}
		if lacking == "" {
			lacking = why
		}
	}
	return lacking
}

// paired tells whether an HA partner may wait for this Kea, as of the last look.
func (v *vigil) paired() bool {
	for _, p := range v.last.pairs {
		if p.state != "passive-backup" {
			return true
		}
	}
	return false
}
