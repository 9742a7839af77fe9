package admin

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/fsm/store"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// bindingsPerMessage is how many bindings a message of a list has.
const bindingsPerMessage = 512

// listStall is how long who reads a list may take nothing before the list ends: it keeps a view, and with it memory.
const listStall = 30 * time.Second

// ListBindings streams every live binding that matches, from one view.
func (s *Service) ListBindings(r *adminv1.ListBindingsRequest, stream grpc.ServerStreamingServer[adminv1.ListBindingsResponse]) error {
	view, err := s.view(stream.Context(), r.GetConsistent())
	if err != nil {
		return err
	}
	l := &lister{view: view, source: r.GetSource(), now: s.node.Now(), stream: stream, batch: &adminv1.ListBindingsResponse{Index: view.Index()}}
	listed := make(chan error, 1)
	go func() { // a stalled send ends only with the call, so it waits for no one
		defer view.Release()
		listed <- l.list(r)
	}()
	return s.watch(&l.progress, listed)
}

// progress is how far a call has got that streams.
type progress struct {
	sent    atomic.Uint64 // messages
	sending atomic.Bool   // whether one is on its way
}

// send sends one message.
func send[T any](p *progress, stream grpc.ServerStreamingServer[T], message *T) error {
	p.sending.Store(true)
	err := stream.Send(message)
	p.sending.Store(false)
	p.sent.Add(1)
	return err
}

// watch waits until a stream has ended, or stands still.
func (s *Service) watch(p *progress, ended <-chan error) error {
	tick := time.NewTicker(s.stall)
	defer tick.Stop()
	for sent := uint64(0); ; sent = p.sent.Load() {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			if p.sent.Load() == sent && p.sending.Load() {
				return status.Errorf(codes.DeadlineExceeded, "nothing of what is sent was taken for %v", s.stall)
			}
		}
	}
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
			return q, false, fmt.Errorf("%w: link: %w", cluster.ErrInvalid, err)
		}
		if q.Links = v.SelectLinks(nil, a); len(q.Links) == 0 {
			return q, false, nil
		}
	}
	subjects := 0
	for _, x := range []struct {
		by    binding.By
		value []byte
	}{
		{binding.ByAddress, r.GetAddress()}, {binding.ByClientID, r.GetDuid()}, {binding.ByRelayID, r.GetRelayId()}, {binding.ByRemoteID, r.GetRemoteId()},
	} {
		if len(x.value) > 0 {
			subjects++
			q.By, q.Value = x.by, x.value
		}
	}
	if subjects > 1 {
		return q, false, fmt.Errorf("%w: only one of address, duid, relay_id and remote_id can be asked for", cluster.ErrInvalid)
	}
	if subjects == 0 && len(q.Links) > 0 {
		q.By = binding.ByLinkAddress
	}
	if q.By != binding.ByAddress {
		return q, true, nil
	}
	a, isAddr := netip.AddrFromSlice(r.GetAddress())
	if !isAddr || !a.Is6() {
		return q, false, fmt.Errorf("%w: address of %d octets, want 16", cluster.ErrInvalid, len(r.GetAddress()))
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
	progress
}

func (l *lister) list(r *adminv1.ListBindingsRequest) error {
	query, ok, err := listQuery(l.view, r)
	if err != nil || !ok {
		return err
	}
	l.query = query
	for cursor := l.view.Select(l.query); cursor.Next(&l.client); {
		if err := l.stream.Context().Err(); err != nil {
			return err
		}
		link := l.view.Representative(l.client.Link).String()
		for i := range l.client.Entries {
			if e := &l.client.Entries[i]; l.matches(e) {
				if err := l.add(e, link); err != nil {
					return err
				}
			}
		}
	}
	return l.flush()
}

// matches tells whether an entry of a selected client is itself what was asked for, and in force.
func (l *lister) matches(e *binding.Entry) bool {
	if e.State != binding.Active || binding.Remaining(e.Valid, e.LastTransaction, l.now) == 0 {
		return false
	}
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
	err := send(&l.progress, l.stream, l.batch)
	l.batch = &adminv1.ListBindingsResponse{Index: l.view.Index()}
	return err
}
