package requestor

// maxUnread is how many clients that could not be read are told apart.
const maxUnread = 1000

// unread is the clients of bulk answers that could not be read (Client.Unreadable): what they had is not said to have ended.
type unread struct {
	anybody bool // one of them has no DUID that could be read, or there are too many
	clients map[string]bool
}

func (u *unread) add(duid []byte) {
	if len(duid) == 0 || len(u.clients) == maxUnread {
		u.anybody = true
		return
	}
	if u.clients == nil {
		u.clients = map[string]bool{}
	}
	u.clients[string(duid)] = true
}

func (u *unread) has(duid string) bool { return u.anybody || u.clients[duid] }
