// Package doorbell wakes whoever follows a file that another program writes.
//
// The kernel tells of what happens in the file's folder. What it does not tell of (a network file system, a link to a file
// elsewhere, too few watches) is left to waiting for at most so long, so a bell never is the only reason to look.
package doorbell

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Wakeup is why Wait returned.
type Wakeup int

// The reasons to wake up.
const (
	Late    Wakeup = iota // time went by
	Changed               // something happened to the file
	Rung                  // somebody rang
)

// Bell is told of one file. It is used by one goroutine.
type Bell struct {
	path    string
	logger  *slog.Logger
	watcher *fsnotify.Watcher // nil: the kernel has none left
	watched fs.FileInfo       // the folder that is watched; nil: none
	told    bool              // that there is no watch
}

// New watches the folder of a file, which need not be there yet.
func New(path string, logger *slog.Logger) *Bell {
	b := &Bell{path: filepath.Clean(path), logger: logger}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		b.complain(err)
		return b
	}
	b.watcher = watcher
	b.watch()
	return b
}

// Close ends the watch.
func (b *Bell) Close() error {
	if b.watcher == nil {
		return nil
	}
	return b.watcher.Close()
}

func (b *Bell) complain(err error) {
	if !b.told {
		b.logger.Warn("The kernel does not tell of changes of a file: it is looked at now and then", "file", b.path, "error", err)
	}
	b.told = true
}

// watch watches the folder that has the name now.
func (b *Bell) watch() {
	if b.watcher == nil {
		return
	}
	folder := filepath.Dir(b.path)
	now, err := os.Stat(folder)
	switch {
	case err != nil:
		b.watched = nil // whoever reads the file tells of that
		return
	case b.watched != nil && os.SameFile(now, b.watched):
		return
	case b.watched != nil:
		if err := b.watcher.Remove(folder); err != nil && !errors.Is(err, fsnotify.ErrNonExistentWatch) {
			b.complain(err)
		}
	}
	b.watched = nil
	if err := b.watcher.Add(folder); err != nil {
		b.complain(err)
		return
	}
	b.watched = now
}

// Wait returns when the file may have changed, when ring is received from, and after at most so long. Its error is the end of ctx.
func (b *Bell) Wait(ctx context.Context, ring <-chan struct{}, most time.Duration) (Wakeup, error) {
	var events <-chan fsnotify.Event
	var failures <-chan error
	if b.watcher != nil {
		events, failures = b.watcher.Events, b.watcher.Errors
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return Late, ctx.Err()
		case <-ring:
			return Rung, nil
		case <-timer.C:
			b.watch() // the folder may be another one by now
			return Late, nil
		case e := <-events:
			if filepath.Clean(e.Name) == b.path {
				return Changed, nil
			}
		case err := <-failures:
			b.complain(err)
			return Changed, nil // events were lost
		}
	}
}
