package upstream

import (
	"fmt"
	"slices"
)

// maxUnread is how many clients that could not be read are told apart.
const maxUnread = 1000

// unread is the clients of a statement of which no more than the DUID could be read, if that.
type unread struct {
	count   int
	nobody  bool     // somebody is among them of whom it is not known who
	clients [][]byte // the others, by DUID
}

// add notes one; the octets are copied.
func (u *unread) add(duid []byte) {
	u.count++
	switch {
	case len(duid) == 0 || len(u.clients) == maxUnread:
		u.nobody = true
	case !noDUID(duid):
		u.clients = append(u.clients, slices.Clone(duid))
	}
}

// inDoubt is an error when something may be theirs of what is known. A client that was never known costs only itself.
func (u *unread) inDoubt(known *table) error {
	if u.count == 0 || !u.nobody && !known.hasAny(u.clients) {
		return nil
	}
	return fmt.Errorf("%d clients in the server's answers cannot be read, and may have what they had; nothing is removed", u.count)
}

// hasAny tells whether any of the clients has a binding.
func (t *table) hasAny(duids [][]byte) bool {
	clients := map[uint64]bool{}
	for _, id := range duids {
		clients[t.client(id)] = true
	}
	for _, e := range t.entries {
		if clients[e.client] {
			return true
		}
	}
	return false
}
