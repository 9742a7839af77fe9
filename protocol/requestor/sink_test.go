package requestor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// An error of the handler ends Watch, also when it comes from a recovery whose subscription ends meanwhile.
func TestErrorOfTheHandlerInARecoveryEndsWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		telling := make(chan bool)
		s := newStage(t, map[string][]script{"a": {
			func(p *peer) {
				_ = p.subscribed(90) && p.reply(base(200), says(dhcpv6.StatusDataMissing))
				<-telling // then closes
			},
			func(p *peer) { p.bulk(203, still('a', 1, 140, 203)) },
		}})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		full := errors.New("the disk is full")
		var failed bool
		err := Watch(ctx, []string{"a"}, s.config(), since(90), func(e *Event) error {
			switch {
			case failed:
				t.Errorf("%v is told behind the error", e.Kind)
				cancel()
			case e.Recovered:
				failed = true
				close(telling)
				synctest.Wait() // the subscription has ended, and waits for this
				return full
			}
			return nil
		})
		if !errors.Is(err, full) {
			t.Errorf("got %v, want the handler's error", err)
		}
	})
}
