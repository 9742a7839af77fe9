package binding

// Mark is one change of a client on a link.
type Mark struct {
	Change uint64 // the number of the change
	Place  uint64 // where its client is, for History.At; nothing else may be read from it
}

// changeBits is how many bits of a change's number count within one millisecond of the closed time.
const changeBits = 20

// ChangeTime is the closed time at which the change with the number was made (RFC 7653 6.3.2: time of change).
func ChangeTime(change uint64) Time { return Time(change >> changeBits) }

// ChangesFrom is a number behind which lie all changes made at the closed time t or later, and none made before.
func ChangesFrom(t Time) uint64 {
	if t <= 0 {
		return 0
	}
	return uint64(t)<<changeBits - 1
}

// History is a View that knows the order of changes: what bulk leasequery with times and active leasequery (RFC 7653) read.
// Changes are numbered in the order of the log, the same on every node.
type History interface {
	View
	// Change is the number of the newest change.
	Change() uint64
	// HistorySince is the time from which on every change and every end is still to be found.
	HistorySince() Time
	// HistoryAfter is the number behind which every change and every end is still to be found: a reader at that number, or behind
	// it, has missed nothing. HistorySince cannot tell that of a reader who has seen the newest end and waits while it is pruned.
	HistoryAfter() uint64
	// LinksChanged grows whenever the definition of a link has changed, so that a query's link-address may select others. It
	// counts on this node alone.
	LinksChanged() uint64
	// Oldest appends to dst, up to its capacity, marks behind the number after: that of every end that is kept, and the newest of
	// every client; the oldest of all these, in order. None appended means that there is none.
	Oldest(after uint64, dst []Mark) []Mark
	// At fills out with the client, ends included, that has an entry with exactly the change m. It is false if there is none: the
	// entry has changed since, and has a later mark, or is gone. out is valid until the next call.
	At(m Mark, out *Client) bool
}

// Feed tells of changes as they are applied on this node.
type Feed interface {
	// After appends to dst, up to its capacity, the changes behind the number after, in order. ok is false when the feed does
	// not reach so far back: History.Oldest does. A view shows them all if it is taken behind the call, or if its Change is not
	// below theirs. A view may also show changes that the feed does not have yet: nothing is left to be told only to a reader
	// whose position is not below the view's Change.
	After(after uint64, dst []Mark) (marks []Mark, ok bool)
	// Changed is closed when the next change has been applied; a view taken then shows it. Ask for it before looking.
	Changed() <-chan struct{}
}
