package admin

import (
	"context"

	"github.com/leasehold/leasehold/fsm/binding"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// ListConflicts lists the bindings about which sources disagree.
func (s *Service) ListConflicts(ctx context.Context, r *adminv1.ListConflictsRequest) (*adminv1.ListConflictsResponse, error) {
	if r.GetConsistent() {
		s.catchUp(ctx)
	}
	known := s.sources.Conflicts()
	out := &adminv1.ListConflictsResponse{SinceMs: int64(known.Since), Dropped: known.Dropped}
	for _, c := range known.Rows {
		p := &adminv1.Conflict{Kind: c.Kind.String(), Why: "older", Lost: claim(c.Lost), Won: claim(c.Won), FirstMs: int64(c.First), LastMs: int64(c.Last)}
		if c.Tie {
			p.Why = "tie"
		}
		if c.Key.Delegated {
			p.Prefix = c.Key.String()
		} else {
			p.Address = c.Key.String()
		}
		out.Conflicts = append(out.Conflicts, p)
	}
	return out, nil
}

func claim(c binding.Claim) *adminv1.Claim {
	return &adminv1.Claim{Source: c.Source, Duid: c.DUID, Iaid: c.IAID, Valid: c.Valid, LastTransactionMs: int64(c.LastTransaction), State: c.State.String()}
}
