package history

import (
	"sync"
	"time"
)

// Recorder records the histories of some groups on one clock. Its methods may be called from any goroutine.
type Recorder struct {
	origin time.Time
	groups []group
}

type group struct {
	mu      sync.Mutex
	initial Versions
	ops     []operation
}

// NewRecorder makes a recorder whose groups begin with the versions given.
func NewRecorder(initial []Versions) *Recorder {
	r := &Recorder{origin: time.Now(), groups: make([]group, len(initial))}
	for i := range initial {
		r.groups[i].initial = initial[i]
	}
	return r
}

// Now is the time on the recorder's clock, which is monotonic: take it before an operation is called.
func (r *Recorder) Now() time.Duration { return time.Since(r.origin) }

// Wrote records a batch that the client called at the time and that was acknowledged now.
func (r *Recorder) Wrote(group, client int, call time.Duration, w Write) {
	r.add(group, operation{write: &w, client: client, call: call, ret: r.Now()})
}

// WroteAt is Wrote for an acknowledgement that came at a time noted before.
func (r *Recorder) WroteAt(group, client int, call, ret time.Duration, w Write) {
	r.add(group, operation{write: &w, client: client, call: call, ret: ret})
}

// Lost records a batch that was given up without knowing whether it took effect. Its chain must not be used again.
func (r *Recorder) Lost(group, client int, call time.Duration, w Write) {
	r.add(group, operation{write: &w, client: client, call: call, ret: r.Now(), unknown: true})
}

// Saw records an answer that the client asked for at the time and that is complete now.
func (r *Recorder) Saw(group, client int, call time.Duration, read Read) {
	r.add(group, operation{read: read, client: client, call: call - read.Bound, ret: r.Now()})
}

func (r *Recorder) add(group int, o operation) {
	o.callOfClient = o.call
	if o.write == nil {
		o.callOfClient += o.read.Bound
	}
	g := &r.groups[group]
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ops = append(g.ops, o)
}

// Count is how many writes and reads were recorded.
func (r *Recorder) Count() (writes, reads int) {
	for i := range r.groups {
		g := &r.groups[i]
		g.mu.Lock()
		for j := range g.ops {
			if g.ops[j].write != nil {
				writes++
			} else {
				reads++
			}
		}
		g.mu.Unlock()
	}
	return writes, reads
}
