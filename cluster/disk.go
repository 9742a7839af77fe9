package cluster

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// disk remembers the first error of the log's disk. After it nothing more is written: Raft's idea of its log may differ from
// what the disk has, and only a restart makes them one again.
type disk struct {
	failed atomic.Pointer[error] // of a write: no other is tried
	told   atomic.Pointer[error] // of anything
	broken func(error)
	tell   func(error) error // what is said of an error; nil: itself

	mu    sync.Mutex
	busy  int       // writes under way
	moved time.Time // when the first of them began, or one ended
}

// do runs a write unless one has failed before.
func (d *disk) do(what string, write func() error) error {
	if err := d.failed.Load(); err != nil {
		return *err
	}
	d.count(1)
	err := write()
	d.count(-1)
	if err == nil {
		return nil
	}
	err = d.fail(fmt.Errorf("%s: %w", what, err))
	d.failed.CompareAndSwap(nil, &err)
	return err
}

// fail ends the node with its first error, as it is to be told. One of reading leaves writes alone: what Raft knows of its log is
// what the disk has, and it needs its votes and terms until it has stopped.
func (d *disk) fail(err error) error {
	if d.tell != nil {
		err = d.tell(err)
	}
	if d.told.CompareAndSwap(nil, &err) {
		d.broken(err)
	}
	return err
}

func (d *disk) count(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy == 0 || n < 0 {
		d.moved = time.Now()
	}
	d.busy += n
}

// stalled is how long the disk has not moved although there is something to write; 0 when it has nothing to do.
func (d *disk) stalled() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy == 0 {
		return 0
	}
	return time.Since(d.moved)
}
