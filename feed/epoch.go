package feed

import (
	"context"
	"time"
)

// runEpoch runs the source once, with a session number of its own.
func (a *Agent) runEpoch(ctx context.Context) error {
	w := newWindow(a.config.MaxPending)
	a.ledger.add(func(t *Totals) { t.Epochs++; t.Leases, t.Ends, t.Links = 0, 0, 0 })
	a.standing.begin(w)
	defer a.standing.begin(nil)
	sending, stop := context.WithCancelCause(context.WithoutCancel(ctx)) // may outlive ctx by Config.Linger
	defer stop(nil)
	stating, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	delivered := make(chan error, 1)
	go func() {
		err := a.deliver(sending, w, a.config.Epoch())
		cancel(err) // of no effect when the source has ended
		delivered <- err
	}()
	s := &sink{config: a.config, window: w, bodies: newBodies(a.config.BatchOctets), now: a.now, refused: a.refuse, stated: a.standing.stated}
	err := a.state(stating, s)
	switch {
	case ctx.Err() != nil:
	case stating.Err() != nil: // delivery has failed, which made the source end
		return <-delivered
	case err != nil:
		stop(err)
		<-delivered
		return err
	default:
		w.close()
		select {
		case err := <-delivered:
			return err
		case <-ctx.Done():
		}
	}
	if lost := a.linger(sending, stop, s, delivered, context.Cause(ctx)); lost != nil || err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// state runs the source, and flushes behind it.
func (a *Agent) state(ctx context.Context, s *sink) error {
	if err := a.source.Run(ctx, s); err != nil {
		return err
	}
	return s.Flush(ctx)
}

// linger sends what was stated before the end, for as long as it may take, and waits for the end of the delivery.
func (a *Agent) linger(sending context.Context, stop context.CancelCauseFunc, s *sink, delivered <-chan error, why error) error {
	defer time.AfterFunc(a.config.Linger, func() { stop(why) }).Stop()
	// Where there is no room for the last batch in time, it is not sent: the next run states it again.
	_ = s.Flush(sending)
	s.window.close()
	if s.window.done() {
		stop(why) // nothing is owed to anybody
	}
	return <-delivered
}
