package kea

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The files are opened again, so many times and after so long, when Kea rotated them meanwhile. A rotation takes milliseconds, and
// there is one an hour.
const (
	openAttempts = 50
	openPause    = 5 * time.Millisecond
)

// ErrRotating is wrapped when the files of a set kept changing while they were opened.
var ErrRotating = errors.New("lease files keep being rotated")

// disk is where lease files are. Tests stand between it and its readers.
type disk interface {
	open(name string) (leaseFile, error)
	stat(name string) (fs.FileInfo, error)
	siblings(beginning string) ([]string, error) // the names that begin like this, in its folder
}

// leaseFile is an open lease file: an *os.File.
type leaseFile interface {
	io.ReaderAt
	io.Closer
	Name() string
	Stat() (fs.FileInfo, error)
}

// realDisk is the machine's.
type realDisk struct{}

func (realDisk) open(name string) (leaseFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (realDisk) stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (realDisk) siblings(beginning string) (names []string, err error) {
	folder, start := filepath.Split(beginning)
	entries, err := os.ReadDir(filepath.Clean(folder))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), start) {
			names = append(names, folder+e.Name())
		}
	}
	return names, err
}

// openSet opens a lease file and what Kea's lease file cleanup (LFC) has set aside of it, in the order in which they are to be
// read: the file with .completed, which supersedes the next two, or else those with .2 (compacted) and .1 (rotated); then the file
// itself. LFC renames while this goes on, so the names are looked at again once the files are open, and the set is opened anew
// if one of them means another file by then, or if there is no current file beside a rotated one. An open file that has been renamed or removed is whole: Kea closes before it renames.
func openSet(ctx context.Context, d disk, path string) ([]leaseFile, error) {
	names := [...]string{path + ".completed", path + ".2", path + ".1", path}
	for range openAttempts {
		files, err := openNames(d, names[:])
		if err != nil {
			return nil, err
		}
		same, err := sameFiles(d, names[:], files)
		if same {
			// Once is not enough: the last steps of LFC may come between two looks, so that .1 is seen to be gone, as when it was not
			// there yet, and .completed and .2 were looked at before.
			same, err = sameFiles(d, names[:], files)
		}
		switch completed, rotated, current := files[0], files[2], files[3]; {
		case err != nil:
			return nil, errors.Join(err, closeFiles(files))
		case same && current == nil && rotated == nil:
			return nil, errors.Join(fmt.Errorf("open lease file %s: %w%s", path, fs.ErrNotExist, openHint(fs.ErrNotExist)), closeFiles(files))
		case same && current != nil && completed != nil:
			return []leaseFile{completed, current}, closeFiles(files[1:3])
		case same && current != nil:
			return present(files), nil
		}
		if err := closeFiles(files); err != nil {
			return nil, err
		}
		select {
		case <-time.After(openPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, fmt.Errorf("open lease file %s: %w", path, ErrRotating)
}

// openBegun is openSet that waits a moment until the file itself has something in it: Kea makes it, and then writes its header. One that
// stays empty is opened as it is.
func openBegun(ctx context.Context, d disk, path string) ([]leaseFile, error) {
	for range openAttempts {
		files, err := openSet(ctx, d, path)
		if err != nil {
			return nil, err
		}
		info, err := files[len(files)-1].Stat()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("look at open lease file: %w", err), closeFiles(files))
		}
		if info.Size() > 0 {
			return files, nil
		}
		if err := closeFiles(files); err != nil {
			return nil, err
		}
		if err := pauseFor(ctx, openPause); err != nil {
			return nil, err
		}
	}
	return openSet(ctx, d, path)
}

// openNames opens the files that exist; the others are nil.
func openNames(d disk, names []string) ([]leaseFile, error) {
	files := make([]leaseFile, len(names))
	for i, name := range names {
		f, err := d.open(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(fmt.Errorf("open lease file: %w%s", err, openHint(err)), closeFiles(files))
		}
		if err == nil {
			files[i] = f
		}
	}
	return files, nil
}

// openHint tells what people may do when a lease file cannot be opened; it may be empty.
func openHint(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ` (is it the "name" of Kea's "lease-database"? Kea writes none with MySQL, PostgreSQL or "persist": false: then leave leases out of the source)`
	case errors.Is(err, fs.ErrPermission):
		return " (run the agent as Kea's user, _kea on Debian, or in its group)"
	}
	return ""
}

// sameFiles tells whether each name still means the file that was opened by it.
func sameFiles(d disk, names []string, files []leaseFile) (bool, error) {
	for i, name := range names {
		now, err := d.stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && files[i] == nil:
			continue
		case errors.Is(err, fs.ErrNotExist):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("look at lease file again: %w", err)
		case files[i] == nil:
			return false, nil
		}
		then, err := files[i].Stat()
		if err != nil {
			return false, fmt.Errorf("look at open lease file: %w", err)
		}
		if !os.SameFile(now, then) {
			return false, nil
		}
	}
	return true, nil
}

func present(files []leaseFile) []leaseFile {
	var out []leaseFile
	for _, f := range files {
		if f != nil {
			out = append(out, f)
		}
	}
	return out
}

func closeFiles(files []leaseFile) error {
	var errs []error
	for _, f := range present(files) {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
