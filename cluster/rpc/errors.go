package rpc

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
)

// domain marks the reasons that this project attaches to statuses.
const domain = "leasehold"

// mapping joins a sentinel, its status code and the reason that names it on the wire.
type mapping struct {
	err    error
	code   codes.Code
	reason string
}

// mappings is the whole mapping, the most telling first.
func mappings() []mapping {
	return []mapping{
		{cluster.ErrTooOld, codes.FailedPrecondition, "TOO_OLD"},
		{cluster.ErrWrongCluster, codes.FailedPrecondition, "WRONG_CLUSTER"},
		{cluster.ErrRemoved, codes.FailedPrecondition, "REMOVED"},
		{cluster.ErrLastVoter, codes.FailedPrecondition, "LAST_VOTER"},
		{cluster.ErrQuorum, codes.FailedPrecondition, "QUORUM"},
		{cluster.ErrNoMember, codes.NotFound, "NO_MEMBER"},
		{cluster.ErrInvalid, codes.InvalidArgument, "INVALID"},
		{binding.ErrInvalid, codes.InvalidArgument, "INVALID_BINDING"},
		{fsm.ErrDiverged, codes.Unavailable, "DIVERGED"},
		{cluster.ErrNotLeader, codes.Unavailable, "NOT_LEADER"},
		{cluster.ErrBusy, codes.Unavailable, "BUSY"},
		{cluster.ErrUnknown, codes.Unavailable, "UNKNOWN_OUTCOME"},
		{cluster.ErrNotFresh, codes.Unavailable, "NOT_FRESH"},
		{cluster.ErrNoLeader, codes.Unavailable, "NO_LEADER"},
		{cluster.ErrNotRunning, codes.Unavailable, "NOT_RUNNING"},
		{context.Canceled, codes.Canceled, "CANCELED"},
		{context.DeadlineExceeded, codes.DeadlineExceeded, "DEADLINE_EXCEEDED"},
	}
}

// ToStatus is err as a gRPC status. Sentinels of the project keep their identity: FromStatus gives them back. An error that is a
// status already, and nil, stay what they are.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	for _, m := range mappings() {
		if !errors.Is(err, m.err) {
			continue
		}
		s := status.New(m.code, err.Error())
		if d, detailErr := s.WithDetails(&errdetails.ErrorInfo{Reason: m.reason, Domain: domain}); detailErr == nil {
			s = d
		}
		return s.Err()
	}
	return status.Error(codes.Internal, err.Error())
}

// FromStatus is ToStatus backwards: an error that wraps the sentinel that the status names, or context.Canceled or
// context.DeadlineExceeded for a status that says so without a reason, or the status itself.
func FromStatus(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	for _, d := range s.Details() {
		info, ok := d.(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != domain {
			continue
		}
		for _, m := range mappings() {
			if m.reason == info.GetReason() {
				return fmt.Errorf("%w: %w", m.err, err)
			}
		}
	}
	switch s.Code() {
	case codes.Canceled:
		return fmt.Errorf("%w: %w", context.Canceled, err)
	case codes.DeadlineExceeded:
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return err
}
