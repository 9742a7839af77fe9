package feed

import (
	"github.com/leasehold/leasehold/fsm/binding"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// DefineLink is the change that tells the cluster of a link.
func DefineLink(link *binding.Link) *ingestv1.Change {
	l := &ingestv1.Link{Label: link.Label, Names: link.Names}
	for _, p := range link.Prefixes {
		l.Prefixes = append(l.Prefixes, p.String())
	}
	for _, a := range link.Relays {
		l.Relays = append(l.Relays, a.String())
	}
	return &ingestv1.Change{Change: &ingestv1.Change_DefineLink{DefineLink: l}}
}
