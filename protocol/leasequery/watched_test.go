package leasequery_test

import (
	"fmt"
	"net/netip"
	"slices"

	"pgregory.net/rapid"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// watched is what a subscription is about.
type watched struct {
	kind      int // 0: everything
	link      netip.Addr
	address   netip.Addr
	value     string
	oro       []int
	config    leasequery.Config
	requestor *leasequery.Requestor

	own map[string]bool // what a restricted requestor may have been told: words of bindings, options and chains
}

func (w *watched) String() string {
	return fmt.Sprintf("query %d, link %v, address %v, value %q, requestor %+v", w.kind, w.link, w.address, w.value, w.requestor)
}

func drawWatched(t *rapid.T) *watched {
	w := &watched{kind: rapid.IntRange(0, byRemoteID).Draw(t, "query type"), link: netip.IPv6Unspecified(), own: map[string]bool{}}
	if w.kind == byLink || w.kind > 0 && rapid.IntRange(0, 2).Draw(t, "has a link-address") == 0 {
		w.link = rapid.SampledFrom(addrs("2001:db8:1::", "2001:db8:2::1", "2001:db8:ffff::1")).Draw(t, "link asked")
	}
	switch w.kind {
	case byAddress:
		w.address = rapid.SampledFrom(poolAddrs[:5]).Draw(t, "address asked")
	case byClientID:
		w.value = rapid.SampledFrom(poolDUIDs).Draw(t, "client-id asked")
	case byRelayID:
		w.value = rapid.SampledFrom(poolRelayIDs).Draw(t, "relay-id asked")
	case byRemoteID:
		w.value = rapid.SampledFrom(poolRemotes).Draw(t, "remote-id asked")
	}
	w.oro = rapid.SampledFrom([][]int{nil, {optRelayData}, {optFQDN, optRelayData}}).Draw(t, "oro")
	if rapid.IntRange(0, 2).Draw(t, "restricted") == 0 {
		w.requestor = &leasequery.Requestor{Restricted: drawRestriction(t)}
	}
	return w
}

// byLinks tells whether the definition of links decides what is told.
func (w *watched) byLinks() bool {
	return !w.link.IsUnspecified() || w.requestor != nil && len(w.requestor.Restricted.Links) > 0
}

// message is the subscription in octets.
func (w *watched) message(start uint32) []byte {
	from := opt(optStartTime, u32(start))
	if w.kind == 0 {
		return active(from, oro(w.oro...))
	}
	return active(from, lq(w.kind, w.link.String(), w.subject(), oro(w.oro...)))
}

// subject is the query-option that says whom the question is about; nothing where it is about a link.
func (w *watched) subject() []byte {
	switch w.kind {
	case byAddress:
		return iaAddr(w.address.String(), 0, 0)
	case byClientID:
		return opt(optClientID, []byte(w.value))
	case byRelayID:
		return opt(optRelayID, []byte(w.value))
	case byRemoteID:
		return opt(optRemoteID, []byte(w.value))
	}
	return nil
}

// permits tells whether the requestor may see an entry.
func (w *watched) permits(v binding.View, link binding.LinkID, e *binding.Entry) bool {
	if w.requestor == nil || w.requestor.Restricted == nil {
		return true
	}
	h := &held{}
	h.Link, h.sender = link, e.Chain.Sender()
	for l := range e.Chain.Levels {
		h.levels = append(h.levels, l)
	}
	s := scene{links: []linkOf{{ID: link, Prefixes: v.LinkPrefixes(link)}}}
	return s.relays(w.requestor.Restricted, h)
}

// matches tells whether an entry of a client is itself what is asked for.
func (w *watched) matches(links []binding.LinkID, c *binding.Client, e *binding.Entry) bool {
	if !w.link.IsUnspecified() && !slices.Contains(links, c.Link) {
		return false
	}
	switch w.kind {
	case byAddress:
		return e.Prefix.Contains(w.address)
	case byClientID:
		return string(c.DUID) == w.value
	case byRelayID:
		return e.Chain.HasRelayID([]byte(w.value))
	case byRemoteID:
		return e.Chain.HasRemoteID([]byte(w.value))
	}
	return true
}

// expected is the table of a requestor that knows all it asked for: every client looked at, one after the other.
func (w *watched) expected(n *node) map[string]word {
	v := n.store.View()
	defer v.Release()
	var links []binding.LinkID
	if !w.link.IsUnspecified() {
		links = v.SelectLinks(nil, w.link)
	}
	out := map[string]word{}
	var c binding.Client
	for cursor := v.Select(binding.Query{}); cursor.Next(&c); {
		matched := false
		mine := map[string]word{}
		for i := range c.Entries {
			e := &c.Entries[i]
			if e.State != binding.Active || !w.permits(v, c.Link, e) || binding.Remaining(e.Valid, e.LastTransaction, v.Clock()) == 0 {
				continue
			}
			matched = matched || w.matches(links, &c, e)
			mine[nameOf(e)] = word{string(c.DUID), ends(e.Valid, e), ends(min(e.Preferred, e.Valid), e), false}
		}
		if matched {
			for k, x := range mine {
				out[k] = x
			}
		}
	}
	return out
}

func ends(lifetime uint32, e *binding.Entry) int64 {
	if lifetime == binding.Infinity {
		return forever
	}
	return (int64(e.LastTransaction)+int64(lifetime)*1000)/1000 - 946684800
}

func nameOf(e *binding.Entry) string {
	if e.Kind == binding.PD {
		return e.Prefix.String()
	}
	return e.Prefix.Addr().String()
}

// note remembers what a restricted requestor may be told of the node's present state.
func (w *watched) note(n *node) {
	if w.requestor == nil {
		return
	}
	v := n.store.View()
	defer v.Release()
	var c binding.Client
	for cursor := v.Select(binding.Query{Ended: true}); cursor.Next(&c); {
		for i := range c.Entries {
			if e := &c.Entries[i]; w.permits(v, c.Link, e) {
				w.own["binding "+string(c.DUID)+nameOf(e)] = true
				for code, value := range binding.Options(e.Options) {
					w.own["option "+string(c.DUID)+fmt.Sprintf("%d %x", code, value)] = true
				}
				w.own["chain "+string(c.DUID)+chainWords(e.Chain)] = true
			}
		}
	}
}

// chainWords is a chain in the words of reader.relay, without the peer-address.
func chainWords(c binding.Chain) string {
	var words []string
	for l := range c.Levels {
		words = append(words, fmt.Sprintf("%d %v %v %x", l.HopCount, l.Link, l.Peer, l.Options))
	}
	return fmt.Sprint(words)
}

// inspect fails if a restricted requestor was told what it does not relay.
func (w *watched) inspect(t *rapid.T, c client) {
	if w.requestor == nil {
		return
	}
	told := func(what, word string) {
		if !w.own[what+" "+c.DUID+word] {
			t.Fatalf("a restricted requestor was told of the %s %s of client %q", what, word, c.DUID)
		}
	}
	for _, b := range c.Bindings {
		key, _, _ := cutSpace(b)
		told("binding", key)
	}
	for _, o := range c.Options {
		told("option", o)
	}
	if len(c.Relay) > 0 {
		told("chain", fmt.Sprint(c.Relay[1:]))
	}
}
