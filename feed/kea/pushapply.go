package kea

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// apply does lease6-bulk-apply. A lease that cannot be used costs only itself, and no client its answer: the result is that of the
// others.
func (h *pushHandler) apply(r request, arrived time.Time, conn uint64) response {
	var bulk struct {
		Leases  list `json:"leases"`
		Deleted list `json:"deleted-leases"`
	}
	if len(r.Arguments) == 0 {
		return response{Result: resultError, Text: r.Command + ": no arguments"}
	}
	if err := json.Unmarshal(r.Arguments, &bulk); err != nil {
		return response{Result: resultError, Text: r.Command + ": " + err.Error()}
	}
	var rows []row
	failed := new(failures)
	// As Kea does, ends first: a lease that is in both lists is one that there is.
	err := bulk.Deleted.each(func(i int, text json.RawMessage) {
		if e := h.take(&rows, text, func() string { return fmt.Sprintf("%s, deleted-leases[%d]", r.Command, i) }, true); e != nil {
			failed.add(&failed.Deleted, text, e)
		}
	})
	if err == nil {
		err = bulk.Leases.each(func(i int, text json.RawMessage) {
			if e := h.take(&rows, text, func() string { return fmt.Sprintf("%s, leases[%d]", r.Command, i) }, false); e != nil {
				failed.add(&failed.Leases, text, e)
			}
		})
	}
	if err != nil {
		return response{Result: resultError, Text: r.Command + ": " + err.Error()}
	}
	h.tellClock(rows, arrived)
	if why := h.submit(rows, len(r.Arguments), arrived, conn); why != "" {
		return response{Result: resultError, Text: why}
	}
	answer := response{Text: fmt.Sprintf("Bulk apply of %d IPv6 leases completed.", len(rows))}
	if failed.count > 0 {
		answer.Text += fmt.Sprintf(" %d cannot be used.", failed.count)
		answer.Arguments = failed
	}
	return answer
}

// tellClock has the clock measured by the newest of leases whose clients have just had their answer.
func (h *pushHandler) tellClock(rows []row, arrived time.Time) {
	newest := int64(-1)
	for i := range rows {
		if rows[i].leased() {
			newest = max(newest, rows[i].transaction())
		}
	}
	if newest >= 0 {
		h.server.clock.note(newest, arrived)
	}
}

// take appends the row of a lease in JSON, or says what is wrong with it.
func (h *pushHandler) take(rows *[]row, text json.RawMessage, place func() string, deleted bool) *RecordError {
	var one row
	if err := parseLease(text, &one); err != nil {
		e := recordError(err, place())
		h.server.badRecord(e)
		return e
	}
	if one.relaysFail != nil {
		h.server.logBad(&RecordError{Place: place(), Field: "user-context", Kept: true, Err: one.relaysFail})
	}
	if deleted {
		one.state = stateReleased
	}
	*rows = append(*rows, one)
	return nil
}

// single does lease6-add, -update and -del, which a script may send, or a peer that predates lease6-bulk-apply. What a script leaves out is
// filled in: the last transaction is now.
func (h *pushHandler) single(r request, arrived time.Time, conn uint64, deleted bool) response {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(r.Arguments, &members); err != nil || len(members) == 0 {
		return response{Result: resultError, Text: r.Command + ": the arguments are not a lease"}
	}
	absent := func(name string) bool { _, ok := members[name]; return !ok }
	if absent("cltt") && absent("expire") {
		members["cltt"] = fmt.Appendf(nil, "%d", arrived.Add(h.server.corrected()).Unix())
	}
	if deleted {
		for name, value := range map[string]string{"valid-lft": "0", "preferred-lft": "0", "iaid": "0", "duid": `"00"`} {
			if absent(name) {
				members[name] = json.RawMessage(value)
			}
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		return response{Result: resultError, Text: r.Command + ": " + err.Error()}
	}
	var one row
	if err := parseLease(text, &one); err != nil {
		e := recordError(err, r.Command)
		h.server.badRecord(e)
		if errors.Is(err, ErrMissing) && deleted {
			return response{Result: resultError, Text: e.Error() + ": a lease is deleted here by its ip-address, type and prefix-len"}
		}
		return response{Result: resultError, Text: e.Error()}
	}
	done := "IPv6 lease added."
	switch {
	case deleted:
		one.valid, one.state, done = 0, stateDefault, "IPv6 lease deleted."
		one.expire = arrived.Add(h.server.corrected()).Unix()
	case r.Command == "lease6-update":
		done = "IPv6 lease updated."
	}
	if why := h.submit([]row{one}, len(text), arrived, conn); why != "" {
		return response{Result: resultError, Text: why}
	}
	return response{Text: done}
}
