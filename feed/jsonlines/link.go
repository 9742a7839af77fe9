package jsonlines

import (
	"fmt"
	"net/netip"

	"google.golang.org/protobuf/proto"

	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/fsm/binding"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// maxChange is how many octets a change may have, encoded; a batch has some beside it.
const maxChange = feed.MaxBatchOctets - 16

// linkObject is a link of the source's configuration.
type linkObject struct {
	Change   string   `json:"change"`
	Link     string   `json:"link"`
	Names    []string `json:"names"`
	Prefixes []string `json:"prefixes"`
	Relays   []string `json:"relays"`
}

// removeLinkObject tells that the source's configuration no longer has a link.
type removeLinkObject struct {
	Change string `json:"change"`
	Link   string `json:"link"`
}

func parseLink(octets []byte) (line, error) {
	var o linkObject
	if err := decode(octets, &o, true); err != nil {
		return line{}, err
	}
	if o.Names == nil {
		o.Names = []string{o.Link}
	}
	test := binding.Link{Label: o.Link, Names: o.Names}
	for i, s := range o.Prefixes {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return line{}, wrong(fmt.Sprintf("prefixes[%d]", i), "%w", err)
		}
		test.Prefixes = append(test.Prefixes, p)
	}
	for i, s := range o.Relays {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return line{}, wrong(fmt.Sprintf("relays[%d]", i), "%w", err)
		}
		test.Relays = append(test.Relays, a)
	}
	if o.Link == "" {
		return line{}, wrong("link", "missing")
	}
	if err := test.Validate(); err != nil {
		return line{}, wrong("", "%w", err)
	}
	change := &ingestv1.Change{Change: &ingestv1.Change_DefineLink{DefineLink: &ingestv1.Link{
		Label: o.Link, Names: o.Names, Prefixes: o.Prefixes, Relays: o.Relays,
	}}}
	if n := proto.Size(change); n > maxChange { // it would be refused behind our back, and a full statement go on without it
		return line{}, wrong("", "%d octets encoded, want at most %d", n, maxChange)
	}
	return line{change: change}, nil
}

func parseRemoveLink(octets []byte) (line, error) {
	var o removeLinkObject
	if err := decode(octets, &o, true); err != nil {
		return line{}, err
	}
	if o.Link == "" || len(o.Link) > binding.MaxLinkName {
		return line{}, wrong("link", "%d octets, want 1 to %d", len(o.Link), binding.MaxLinkName)
	}
	return line{change: &ingestv1.Change{Change: &ingestv1.Change_RemoveLink{RemoveLink: o.Link}}}, nil
}
