package kea

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// maxChained is how many files may wait to be read while Kea goes on rotating. Each holds a descriptor, and its octets on the
// disk.
const maxChained = 16

// absence is for how long the lease file may be away before that is trouble.
const absence = time.Second

// chain is the lease file, and the files that took its name since: each the direct successor of the one before, so that reading
// them one after the other misses nothing.
//
// Kea closes the file before it renames it, so a file that the name means no more is whole, and an open descriptor reads it to its
// end whatever becomes of it. The name is looked at often, also while the files are not read, because what proves a succession
// stays for a few milliseconds.
type chain struct {
	disk  disk
	clock func() time.Time
	path  string
	files []*reading // the first is being read; the last is what the name meant when it was looked at
	held  []*reading // that were read to their end, and are needed once more
	holds bool       // whether files that were read to their end are held

	broken  *gap      // how it ended; what the name means now is not known to succeed the last
	missing time.Time // since when the name means nothing; zero: it does mean a file
	removed bool      // and that was not Kea
	told    told      // in doubts and in the log
}

// told is what was told of a chain.
type told struct{ broken, removed bool }

// gap is how a chain ends.
type gap struct {
	reason string
	doubt  bool // whether Kea may know leases that its files do not have
}

func (g *gap) Error() string { return g.reason }

// look finds out whether the name means another file by now. Its error is one that time may heal.
func (c *chain) look() error {
	if c.broken != nil {
		return nil
	}
	last := c.files[len(c.files)-1]
	now, err := c.disk.stat(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c.absent(last)
	case err != nil:
		return fmt.Errorf("look at lease file: %w", err)
	}
	c.missing = time.Time{}
	if !os.SameFile(now, last.info) {
		return c.succeed(last)
	}
	c.removed, c.told.removed = false, false
	switch size := now.Size(); {
	case size < last.next.offset:
		c.lose(size, "the lease file was truncated")
	case size > last.next.offset:
		rewritten, err := last.rewritten()
		if err != nil {
			return err
		}
		if rewritten {
			c.lose(size, "the lease file was written anew in its place")
		}
	}
	return nil
}

// lose breaks the chain where the place to read on is lost. What Kea appends from now on is read all the same, from the next line on:
// if the file has lost its header, nothing else tells of it.
func (c *chain) lose(size int64, why string) {
	c.broken = &gap{reason: why, doubt: true}
	last := c.files[len(c.files)-1]
	last.next = mark{offset: size, number: last.next.number, long: size > 0}
}

// absent is for a name that means nothing: Kea is about to create the file, or somebody took it away while Kea writes to it.
func (c *chain) absent(last *reading) error {
	switch now := c.clock(); {
	case c.missing.IsZero():
		c.missing = now
		return nil
	case now.Sub(c.missing) < absence:
		return nil // mostly Kea's next step takes no millisecond
	}
	rotated, err := c.isLast(last, c.path+".1")
	if err != nil {
		return err
	}
	replaced, _, err := c.dumped(last)
	c.removed = c.removed || (!rotated && !replaced && err == nil)
	return fmt.Errorf("look at lease file %s: %w", c.path, fs.ErrNotExist)
}

// succeed takes the file that has taken the last one's name, if it is the direct successor: it is opened first, and if the last
// has the name .1 after that, Kea cannot have rotated twice, for it never replaces a .1.
func (c *chain) succeed(last *reading) error {
	file, err := c.disk.open(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // renamed again; the next look sees to it
	case err != nil:
		return fmt.Errorf("open lease file: %w", err)
	}
	next, err := newReading(file)
	if err == nil && !os.SameFile(next.info, last.info) {
		err = c.judge(last)
		if err == nil && c.broken == nil {
			c.files = append(c.files, next)
			return nil
		}
	}
	return errors.Join(err, file.Close())
}

// judge breaks the chain unless what was opened just now succeeds the last file. It does after lease6-write too, which dumps Kea's
// memory into a new file: the last then has a name with .bak, and LFC has made nothing since. In a folder that may be entered and
// not listed nobody knows whether lease6-write came too.
func (c *chain) judge(last *reading) error {
	rotated, err := c.isLast(last, c.path+".1")
	if err != nil {
		return err
	}
	replaced, again, hidden := c.dumped(last)
	compacted, err := c.compacted(last)
	switch direct := (rotated || (replaced && !compacted)) && !again && hidden == nil; {
	case err != nil:
		return err
	case direct && len(c.files) < maxChained:
	case direct:
		c.broken = &gap{reason: "the lease file was rotated often while nothing could be read"}
	case replaced || again:
		c.broken = &gap{reason: "lease6-write replaced the lease file, and it was rotated"}
	case hidden != nil && (rotated || compacted):
		c.broken = &gap{reason: fmt.Sprintf("the lease file was rotated, and perhaps replaced too: %v", hidden)}
	case compacted:
		c.broken = &gap{reason: "the lease file was rotated, and perhaps more than once"}
	default:
		c.broken = &gap{reason: "the lease file was replaced, and not by Kea", doubt: !c.removed}
	}
	return nil
}

// isLast tells whether a name means the last file.
func (c *chain) isLast(last *reading, name string) (bool, error) {
	info, err := c.disk.stat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("look at rotated lease file: %w", err)
	}
	return err == nil && os.SameFile(info, last.info), nil
}

// dumped tells whether lease6-write has replaced the last file, or again a successor of it that was never seen: what it replaces
// gets the name .bak with a number. Such a successor was written to after the last file.
func (c *chain) dumped(last *reading) (replaced, again bool, err error) {
	names, err := c.disk.siblings(c.path + ".bak")
	if err != nil {
		return false, false, fmt.Errorf("look for replaced lease files: %w", err)
	}
	for _, name := range names {
		is, err := c.isLast(last, name)
		if err != nil {
			return false, false, err
		}
		newer, err := c.since(last, name)
		if err != nil {
			return false, false, err
		}
		replaced, again = replaced || is, again || (newer && !is)
	}
	return replaced, again, nil
}

// compacted tells whether LFC has made anything since the last file was written to.
func (c *chain) compacted(last *reading) (bool, error) {
	for _, suffix := range []string{".completed", ".2", ".1"} {
		if newer, err := c.since(last, c.path+suffix); newer || err != nil {
			return newer, err
		}
	}
	return false, nil
}

// since tells whether a name means a file that was written to no earlier than the last one.
func (c *chain) since(last *reading, name string) (bool, error) {
	then, err := last.file.Stat()
	if err != nil {
		return false, fmt.Errorf("look at open lease file: %w", err)
	}
	now, err := c.disk.stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look at lease file: %w", err)
	}
	return !now.ModTime().Before(then.ModTime()), nil
}

// whole tells whether the file that is being read is at its end for ever when nothing more can be read of it.
func (c *chain) whole() bool { return len(c.files) > 1 || (c.broken != nil && !c.broken.doubt) }

// pass goes on to the successor of the file that is being read.
func (c *chain) pass() error {
	old := c.files[0]
	c.files = c.files[1:]
	if c.holds {
		c.held = append(c.held, old)
		return nil
	}
	return old.file.Close()
}

// release closes what is held.
func (c *chain) release() error {
	c.holds = false
	var errs []error
	for _, r := range c.held {
		errs = append(errs, r.file.Close())
	}
	c.held = nil
	return errors.Join(errs...)
}

// close closes everything.
func (c *chain) close() error {
	err := c.release()
	for _, r := range c.files {
		err = errors.Join(err, r.file.Close())
	}
	c.files = nil
	return err
}
