package requestor

import (
	"encoding/json"
	"fmt"
)

// EventKind says what an Event tells.
type EventKind uint8

// What Watch tells of.
const (
	EventSubscribed      EventKind = iota + 1 // a server has accepted the subscription
	EventChange                               // a client with its bindings; those that have ended have lifetimes of 0
	EventCatchUpComplete                      // all that had changed before has been told
	EventDataMissing                          // the server cannot tell all that has changed: a bulk query follows by itself
	EventIdle                                 // nothing has changed, and the server is there
	EventTerminated                           // the subscription at this server has ended; it goes on at another
)

// String is the name that stands in JSON.
func (k EventKind) String() string {
	switch k {
	case EventSubscribed:
		return "subscribed"
	case EventChange:
		return "change"
	case EventCatchUpComplete:
		return "catch-up-complete"
	case EventDataMissing:
		return "data-missing"
	case EventIdle:
		return "idle"
	case EventTerminated:
		return "terminated"
	}
	return fmt.Sprintf("event %d", uint8(k))
}

// Event is one thing that Watch tells. It and what it points to hold until the handler returns.
type Event struct {
	Kind   EventKind
	Server string  // as given to Watch; with the address, when a name was given
	Client *Client // of EventChange
	// Recovered tells that the change was found by the bulk query after missing data, or that EventCatchUpComplete is the end of that.
	Recovered bool
	// FoundBy is of a recovered change that one of ActiveQuery.Recover has found: which, counted from 1. Else it is 0.
	FoundBy int
	// Partial tells of EventCatchUpComplete that clients which nobody knew of may be missing: see ActiveQuery.Recover.
	Partial bool
	// HasBaseTime and BaseTime are OPTION_LQ_BASE_TIME of the message: seconds since 2000-01-01T00:00:00Z in the server's time,
	// modulo 2^32.
	HasBaseTime bool
	BaseTime    uint32
	// HasResume and Resume are the base time from which a later Watch loses nothing, once this event has been dealt with. It stays where it
	// was while a server catches up and while missing data is not recovered (RFC 7653 8.4.1).
	HasResume bool
	Resume    uint32
	Err       error // why a subscription has ended: EventTerminated
}

// The shape of an event in `leasehold watch --json`. Programs outside the project read it.
type jsonEvent struct {
	Event     string  `json:"event"`
	BaseTime  *uint32 `json:"base_time,omitempty"`
	Recovered bool    `json:"recovered,omitempty"`
	Partial   bool    `json:"partial,omitempty"`
	Server    string  `json:"server,omitempty"`
	Reason    string  `json:"reason,omitempty"`
}

// AppendJSON appends e as one JSON object, without a line end:
//
//	{"event":"change","base_time":849123456,"duid":"00:01:…", and what else Client.AppendJSON writes}
//	{"event":"idle","base_time":849123456}
//	{"event":"terminated","base_time":849123456,"server":"[::1]:547","reason":"…"}
//
// Changes that the bulk query after missing data found, and the catch-up-complete behind them, have "recovered":true. base_time of
// terminated is where to go on; it is left out where none is known.
func (e *Event) AppendJSON(dst []byte) ([]byte, error) {
	j := jsonEvent{Event: e.Kind.String(), Recovered: e.Recovered, Partial: e.Partial}
	if e.HasBaseTime {
		j.BaseTime = &e.BaseTime
	}
	if e.Kind == EventTerminated || e.Kind == EventSubscribed {
		j.Server = e.Server
	}
	if e.Err != nil {
		j.Reason = e.Err.Error()
	}
	b, err := json.Marshal(j)
	if err != nil {
		return dst, fmt.Errorf("write event %v as JSON: %w", e.Kind, err)
	}
	dst = append(dst, b...)
	if e.Client == nil {
		return dst, nil
	}
	mark := len(dst)
	if dst, err = e.Client.AppendJSON(dst); err != nil {
		return dst[:mark], err
	}
	dst[mark-1], dst = ',', append(dst[:mark], dst[mark+1:]...) // two objects become one
	return dst, nil
}
