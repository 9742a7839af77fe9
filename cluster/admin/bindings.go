package admin

import (
	"context"
	"fmt"
	"net/netip"

	"google.golang.org/grpc"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/store"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// bindingsPerMessage is how many bindings a message of a list has.
const bindingsPerMessage = 512

// ListBindings streams every live binding that matches, from one view.
func (s *Service) ListBindings(r *adminv1.ListBindingsRequest, stream grpc.ServerStreamingServer[adminv1.ListBindingsResponse]) error {
	view, err := s.view(stream.Context(), r.GetConsistent())
	if err != nil {
		return err
	}
	defer view.Release()
	q, ok, err := listQuery(view, r)
	if err != nil || !ok {
		return err
	}
	l := lister{view: view, query: q, source: r.GetSource(), now: s.node.Now(), stream: stream,
		batch: &adminv1.ListBindingsResponse{Index: view.Index()}}
	return l.run()
}

// view is the state to list: with everything that was acknowledged, or what this node has.
func (s *Service) view(ctx context.Context, consistent bool) (*store.View, error) {
	if !consistent {
		return s.node.StaleView(), nil
	}
	v, err := s.node.View(ctx)
	if err != nil {
		return nil, err
	}
	view, ok := v.(*store.View)
	if !ok {
		v.Release()
		return nil, fmt.Errorf("view is a %T", v)
	}
	return view, nil
}

// listQuery turns filters into what a view can select by; ok is false where nothing can match.
func listQuery(v *store.View, r *adminv1.ListBindingsRequest) (q binding.Query, ok bool, err error) {
	if r.GetLink() != "" {
		a, err := netip.ParseAddr(r.GetLink())
		if err != nil {
			return q, false, fmt.Errorf("link: %w: %w", cluster.ErrInvalid, err)
		}
		if q.Links = v.SelectLinks(nil, a); len(q.Links) == 0 {
			return q, false, nil
		}
	}
	subjects := 0
	for by, value := range map[binding.By][]byte{binding.ByAddress: r.GetAddress(), binding.ByClientID: r.GetDuid(),
		binding.ByRelayID: r.GetRelayId(), binding.ByRemoteID: r.GetRemoteId()} {
		if len(value) > 0 {
			subjects++
			q.By, q.Value = by, value
		}
	}
	if subjects > 1 {
		return q, false, fmt.Errorf("only one of address, duid, relay_id and remote_id: %w", cluster.ErrInvalid)
	}
	if q.By != binding.ByAddress {
		return q, true, nil
	}
	a, isAddr := netip.AddrFromSlice(r.GetAddress())
	if !isAddr || !a.Is6() {
		return q, false, fmt.Errorf("address of %d octets: %w", len(r.GetAddress()), cluster.ErrInvalid)
	}
	if q.Key, _, ok = v.FindAddress(a); !ok {
		q.Key, _, ok = v.FindDelegated(a)
	}
	return q, ok, nil
}

// lister streams the bindings of one call.
type lister struct {
	view   *store.View
	query  binding.Query
	source string
	now    binding.Time
	stream grpc.ServerStreamingServer[adminv1.ListBindingsResponse]
	batch  *adminv1.ListBindingsResponse
	client binding.Client
}

func (l *lister) run() error {
	for cursor := l.view.Select(l.query); cursor.Next(&l.client); {
		link := l.view.Representative(l.client.Link).String()
		for i := range l.client.Entries {
			if e := &l.client.Entries[i]; e.State == binding.Active && l.matches(e) {
				if err := l.add(e, link); err != nil {
					return err
				}
			}
		}
	}
	return l.flush()
}

// matches tells whether an entry of a selected client is itself what was asked for.
func (l *lister) matches(e *binding.Entry) bool {
	if l.source != "" && l.view.SourceName(e.Source) != l.source {
		return false
	}
	switch l.query.By {
	case binding.ByAddress:
		return e.Prefix == l.query.Key.Prefix && (e.Kind == binding.PD) == l.query.Key.Delegated
	case binding.ByRelayID:
		return e.Chain.HasRelayID(l.query.Value)
	case binding.ByRemoteID:
		return e.Chain.HasRemoteID(l.query.Value)
	}
	return true
}

func (l *lister) add(e *binding.Entry, link string) error {
	b := &adminv1.Binding{
		Duid: append([]byte(nil), l.client.DUID...), Iaid: e.IAID, Link: link, Preferred: e.Preferred, Valid: e.Valid,
		LastTransactionMs: int64(e.LastTransaction), State: e.State.String(), Source: l.view.SourceName(e.Source), Temporary: e.Kind == binding.TA,
		RemainingValid: binding.Remaining(e.Valid, e.LastTransaction, l.now),
	}
	b.RemainingPreferred = min(binding.Remaining(e.Preferred, e.LastTransaction, l.now), b.RemainingValid)
	if e.Kind == binding.PD {
		b.Prefix = e.Prefix.String()
	} else {
		b.Address = e.Prefix.Addr().String()
	}
	l.batch.Bindings = append(l.batch.Bindings, b)
	if len(l.batch.Bindings) < bindingsPerMessage {
		return nil
	}
	return l.flush()
}

func (l *lister) flush() error {
	if len(l.batch.Bindings) == 0 {
		return nil
	}
	err := l.stream.Send(l.batch)
	l.batch = &adminv1.ListBindingsResponse{Index: l.view.Index()}
	return err
}
