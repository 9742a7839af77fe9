package rpc

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
)

func TestErrorsKeepTheirIdentityOnTheWire(t *testing.T) {
	for err, code := range map[error]codes.Code{
		cluster.ErrNotLeader: codes.Unavailable, cluster.ErrBusy: codes.Unavailable, cluster.ErrUnknown: codes.Unavailable,
		cluster.ErrNotFresh: codes.Unavailable, cluster.ErrNoLeader: codes.Unavailable, cluster.ErrNotRunning: codes.Unavailable,
		cluster.ErrTooOld: codes.FailedPrecondition, fsm.ErrDiverged: codes.Unavailable,
		cluster.ErrWrongCluster: codes.FailedPrecondition, cluster.ErrRemoved: codes.FailedPrecondition, cluster.ErrLastVoter: codes.FailedPrecondition,
		cluster.ErrNoMember: codes.NotFound, cluster.ErrInvalid: codes.InvalidArgument, binding.ErrInvalid: codes.InvalidArgument,
		context.Canceled: codes.Canceled, context.DeadlineExceeded: codes.DeadlineExceeded,
	} {
		t.Run(err.Error(), func(t *testing.T) {
			wrapped := fmt.Errorf("do something with %q: %w", "x", err)
			s := ToStatus(wrapped)
			if status.Code(s) != code || status.Convert(s).Message() != wrapped.Error() {
				t.Fatalf("status %v, want %v with the whole text", s, code)
			}
			back := FromStatus(fmt.Errorf("call: %w", s))
			if !errors.Is(back, err) || status.Code(back) != code {
				t.Errorf("came back as %v", back)
			}
			for _, m := range mappings() {
				if m.err != err && errors.Is(back, m.err) {
					t.Errorf("came back as %v too", m.err)
				}
			}
			if again := ToStatus(back); status.Code(again) != code || !errors.Is(FromStatus(again), err) {
				t.Errorf("passed on as %v", again)
			}
		})
	}
}

func TestOtherErrorsOnTheWire(t *testing.T) {
	if ToStatus(nil) != nil || FromStatus(nil) != nil {
		t.Error("nil did not stay nil")
	}
	plain := errors.New("disk on fire")
	if s := ToStatus(plain); status.Code(s) != codes.Internal || !errors.Is(FromStatus(plain), plain) {
		t.Errorf("plain error is %v", s)
	}
	already := status.Error(codes.ResourceExhausted, "full")
	if !errors.Is(ToStatus(already), already) || !errors.Is(FromStatus(already), already) {
		t.Error("a status did not stay what it is")
	}
	if err := FromStatus(status.Error(codes.Canceled, "x")); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled call is %v", err)
	}
	if err := FromStatus(status.Error(codes.DeadlineExceeded, "x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("late call is %v", err)
	}
}

// An error with two sentinels goes out as the more telling one.
func TestTheMoreTellingSentinelGoesOut(t *testing.T) {
	err := FromStatus(ToStatus(errors.Join(cluster.ErrUnknown, cluster.ErrRemoved)))
	if !errors.Is(err, cluster.ErrRemoved) {
		t.Errorf("came back as %v", err)
	}
}
