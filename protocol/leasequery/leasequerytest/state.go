package leasequerytest

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Link is a link of the state.
type Link struct {
	ID       binding.LinkID
	Prefixes []netip.Prefix
	Relays   []netip.Addr // relay addresses that the link lists
}

// Binding is an entry of a client on a link.
type Binding struct {
	Link binding.LinkID
	DUID string // octets
	binding.Entry
}

// State is a leasequery.State. Its methods may be called from any goroutine; a view keeps what was set when it was taken.
type State struct {
	mu         sync.Mutex
	links      []Link
	bindings   []Binding
	clock, now binding.Time
	duid       []byte
	err        error
	open       int // views not released
}

// New is a state with a server DUID and nothing else. Its time is 2024-06-01T00:00:00Z.
func New() *State {
	const june = 1717200000_000
	return &State{duid: []byte{0, 2, 0, 0, 0x7e, 0xd9, 1}, clock: june, now: june}
}

// SetLinks replaces the links.
func (s *State) SetLinks(links ...Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = slices.Clone(links)
}

// SetBindings replaces the bindings.
func (s *State) SetBindings(bindings ...Binding) {
	sorted := slices.Clone(bindings)
	slices.SortStableFunc(sorted, compare)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bindings = sorted
}

// compare orders entries as answers do: by link, client, kind, address, length; ended entries of one key last.
func compare(a, b Binding) int {
	return cmp.Or(cmp.Compare(a.Link, b.Link), strings.Compare(a.DUID, b.DUID), cmp.Compare(a.Kind, b.Kind),
		a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()), cmp.Compare(a.State, b.State))
}

// SetTime sets the closed time and, not before it, cluster time. Views that were taken keep their closed time.
func (s *State) SetTime(clock, now binding.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock, s.now = clock, now
}

// SetError makes View fail with err; nil ends that.
func (s *State) SetError(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// Now is cluster time as it was set.
func (s *State) Now() binding.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// ServerDUID is the server's DUID.
func (s *State) ServerDUID() []byte { return s.duid }

// OpenViews is how many views were not released.
func (s *State) OpenViews() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// View is the state as it is now. The error is the one that was set, or the context's.
func (s *State) View(ctx context.Context) (binding.View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmp.Or(s.err, ctx.Err()); err != nil {
		return nil, err
	}
	s.open++
	return &View{state: s, links: s.links, bindings: s.bindings, clock: s.clock}, nil
}
