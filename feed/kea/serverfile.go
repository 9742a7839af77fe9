package kea

import (
	"context"
	"sync"
)

// fileWay is the way by the lease file of a Kea that can be asked how it is: what the file has is not stated while Kea's HA partner
// has newer leases, and links come from Kea itself.
type fileWay struct {
	follower way
	links    subnets
	glances  <-chan struct{} // a receive tells that Kea may have ended or begun

	asking sync.Mutex // held while Kea is asked, which may take long
	vigil  *vigil     // nil: Kea cannot be asked

	mu    sync.Mutex
	fault string // why Kea did not answer
}

var _ way = (*fileWay)(nil)

func newFileWay(f way, control *Control, links subnets, glances <-chan struct{}) *fileWay {
	w := &fileWay{follower: f, links: links, glances: glances}
	if control != nil {
		w.vigil = newVigil(control)
	}
	return w
}

func (w *fileWay) trouble() string {
	w.mu.Lock()
	fault := w.fault
	w.mu.Unlock()
	return join(w.follower.trouble(), fault)
}

// read follows the file, and watches Kea.
func (w *fileWay) read(ctx context.Context, ring <-chan struct{}, out func(context.Context, chunk) error) error {
	inner := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { w.watch(ctx, ring, inner) })
	defer group.Wait()
	defer cancel()
	behind := false
	return w.follower.read(ctx, inner, func(ctx context.Context, c chunk) error {
		switch {
		case c.begin != nil:
			w.introduce(ctx, c.begin)
			if err := w.links.database.follows(); err != nil {
				return err
			}
			behind = c.begin.behind
		case behind && len(c.rows) > 0 && !c.events:
			return nil
		}
		return out(ctx, c)
	})
}

// introduce adds to the begin of a statement what Kea says of itself.
func (w *fileWay) introduce(ctx context.Context, b *beginning) {
	if w.vigil != nil {
		w.look(ctx)
		w.asking.Lock()
		b.behind = !w.vigil.away && w.vigil.behind
		w.asking.Unlock()
	}
	links, known, err := w.links.read(ctx)
	if err == nil {
		b.links, b.linked = links, known
		return
	}
	if w.vigil != nil {
		w.asking.Lock()
		defer w.asking.Unlock()
		w.vigil.away = true // asked for again as soon as it answers
	}
}

// look asks Kea how it is; again tells that a full statement is due, soon that Kea is to be asked again soon: it does not answer, or is
// behind.
func (w *fileWay) look(ctx context.Context) (again, soon bool) {
	w.asking.Lock()
	defer w.asking.Unlock()
	was := w.vigil.away
	news, err := w.vigil.look(ctx)
	if ctx.Err() != nil {
		return false, true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.fault = err.Error()
		return false, true
	}
	w.fault, w.vigil.away = "", false
	return news != "" || was, w.vigil.behind
}

// watch passes rings on, and rings when Kea has something new.
func (w *fileWay) watch(ctx context.Context, ring <-chan struct{}, inner chan<- struct{}) {
	pace := newPace(defaultPoll)
	defer pace.stop()
	if w.vigil == nil {
		pace.stop()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ring:
		case <-w.glances:
			if w.vigil != nil {
				pace.soon()
			}
			continue
		case <-pace.timer.C:
			again, soon := w.look(ctx)
			pace.looked(soon)
			if !again {
				continue
			}
		}
		select {
		case inner <- struct{}{}:
		default:
		}
	}
}
