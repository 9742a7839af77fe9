package admin

import (
	"context"
	"fmt"

	"github.com/leasehold/leasehold/fsm/binding"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// catchUp waits until this node has everything that was acknowledged before the call. A node that cannot says what it knows: a
// list is most wanted when something is wrong.
func (s *Service) catchUp(ctx context.Context) {
	v, err := s.node.View(ctx)
	if err != nil {
		s.log.Debug("listing what this node has, which may be old", "err", err)
		return
	}
	v.Release()
}

// Sources lists what has fed the cluster, with the reports of agents.
func (s *Service) Sources(ctx context.Context, r *adminv1.SourcesRequest) (*adminv1.SourcesResponse, error) {
	if !r.GetForwarded() { // else only the reports are wanted
		s.catchUp(ctx)
	}
	out := &adminv1.SourcesResponse{}
	for _, x := range s.sources.Sources() {
		p := &adminv1.Source{Name: x.Name, Bindings: x.Bindings, LastBatchMs: int64(x.LastBatch), LastResyncMs: int64(x.LastResync), Resyncing: x.Resyncing || x.Sweeping}
		if n := len(x.Epochs); n > 0 {
			p.Epoch, p.Sequence = x.Epochs[n-1].Epoch, x.Epochs[n-1].Applied
		}
		out.Sources = append(out.Sources, p)
	}
	s.addAgents(ctx, r.GetForwarded(), out)
	return out, nil
}

// Links lists the link table.
func (s *Service) Links(ctx context.Context, _ *adminv1.LinksRequest) (*adminv1.LinksResponse, error) {
	s.catchUp(ctx)
	view := s.node.StaleView()
	defer view.Release()
	links := view.Links()
	out := &adminv1.LinksResponse{}
	var client binding.Client
	for id := range links.All() {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("count clients of links: %w", context.Cause(ctx))
		}
		l := &adminv1.Link{Representative: links.Representative(id).String(), Labels: links.Labels(id)}
		for _, p := range links.Prefixes(id) {
			l.Prefixes = append(l.Prefixes, p.String())
		}
		for _, a := range links.Relays(id) {
			l.Relays = append(l.Relays, a.String())
		}
		for c := view.Select(binding.Query{By: binding.ByLinkAddress, Links: []binding.LinkID{id}}); c.Next(&client); {
			l.Clients++
		}
		out.Links = append(out.Links, l)
	}
	return out, nil
}
