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
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Wakeup is why Wait returned.
type Wakeup int

// The reasons to wake up.
const (
	Late    Wakeup = iota // time went by
	Changed               // something happened to the file, or to one whose name begins like its name
	Rung                  // somebody rang
)

// Bell is told of one file, and of those beside it whose names begin like its name: what its writer has set aside, or is about to
// give its name. It is used by one goroutine.
type Bell struct {
	folder  string
	name    string
	logger  *slog.Logger
	watcher *fsnotify.Watcher // nil: the kernel had none left
	watched fs.FileInfo       // the folder that is watched; nil: none
	told    bool              // that there is no watch
}

// New watches the folder of a file. Neither need be there yet. A nil logger logs nothing.
func New(path string, logger *slog.Logger) *Bell {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	b := &Bell{folder: filepath.Dir(path), name: filepath.Base(path), logger: logger}
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

// complain tells, once until there is a watch again, that there is none.
func (b *Bell) complain(err error) {
	if !b.told {
		b.logger.Warn("The kernel does not tell of changes of a file: it is looked at now and then", "file", filepath.Join(b.folder, b.name), "error", err)
	}
	b.told = true
}

// watch watches the folder that has the name now.
func (b *Bell) watch() {
	if b.watcher == nil {
		watcher, err := fsnotify.NewWatcher()
		if err != nil {
			b.complain(err)
			return
		}
		b.watcher = watcher
	}
	now, err := os.Stat(b.folder)
	switch {
	case err != nil:
		b.watched = nil // whoever reads the file tells of that
		return
	case b.watched != nil && os.SameFile(now, b.watched):
		return
	}
	b.watched = nil
	// Another folder may have had the name, which the kernel would go on to tell of. An error says that it does not.
	_ = b.watcher.Remove(b.folder)
	if err := b.watcher.Add(b.folder); err != nil {
		b.complain(err)
		return
	}
	b.watched, b.told = now, false
}

// Wait returns when the file may have changed, when ring is received from, and after at most so long. Its error is the cause of the
// end of ctx.
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
			return Late, context.Cause(ctx)
		case <-ring:
			return Rung, nil
		case <-timer.C:
			b.watch() // the folder may be another one by now
			return Late, nil
		case e := <-events:
			if b.concerns(e) {
				return Changed, nil
			}
		case err := <-failures:
			if !errors.Is(err, fsnotify.ErrEventOverflow) { // then only events were lost
				b.complain(err)
			}
			return Changed, nil
		}
	}
}

// concerns tells whether an event is of the file, of one whose name begins like its name, or of the folder itself.
func (b *Bell) concerns(e fsnotify.Event) bool {
	if filepath.Clean(e.Name) != b.folder {
		return strings.HasPrefix(filepath.Base(e.Name), b.name)
	}
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		b.watched = nil
	}
	return true
}
