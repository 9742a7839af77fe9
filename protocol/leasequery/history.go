package leasequery

import (
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
)

// History is a State whose changes can be followed: what a subscription (RFC 7653) reads. Its View is a binding.History as well.
type History interface {
	State
	// Latest is the newest state that this node has applied, without proof that it is up to date. The caller releases it.
	Latest() binding.History
	// Feed tells of changes as this node applies them.
	Feed() binding.Feed
	// Fresh is the age of the newest proof that this node had everything committed; false when there was none yet.
	Fresh() (age time.Duration, ok bool)
}

// defaultStaleness is how old the newest proof may be while subscriptions run, unless Config.MaxStaleness says otherwise.
const defaultStaleness = 10 * time.Second

// stale tells whether this node cannot prove any more that what it tells subscribers is up to date: it may be cut off, and then
// its idle messages would be believed for ever.
func (e *Engine) stale(h History) bool {
	bound := e.config.MaxStaleness
	if bound <= 0 {
		bound = defaultStaleness
	}
	age, ok := h.Fresh()
	return !ok || age > bound
}

// clockOf is the closed time of the newest state that this node has.
func clockOf(h History) binding.Time {
	v := h.Latest()
	defer v.Release()
	return v.Clock()
}

// Changed is closed when the next change has been applied on this node, for whoever watches for many subscriptions; they look for
// what it was at their next call of Next. It is nil where there is no history.
func (e *Engine) Changed() <-chan struct{} {
	if h, ok := e.state.(History); ok {
		return h.Feed().Changed()
	}
	return nil
}
