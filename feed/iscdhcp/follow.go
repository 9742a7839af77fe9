package iscdhcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/fsm/binding"
)

// following is one Run of a Source.
type following struct {
	source *Source
	sink   feed.Sink

	file   *os.File // nil: not open
	info   fs.FileInfo
	at     place // where to read on
	known  int64 // what is wrong with a record that begins before this was reported already
	split  *splitter
	parser *recordParser

	sunk   error     // of the sink: the end
	due    bool      // a full statement is
	stated bool      // there was one
	next   time.Time // when the next one is due
}

// close closes the file.
func (f *following) close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// look states what has happened since it was called last.
func (f *following) look(ctx context.Context) error {
	for {
		if f.file == nil {
			if err := f.open(); err != nil {
				return err
			}
		}
		// What has another file's name is final: dhcpd writes to the new one only. So look first, and read then.
		now, lookErr := os.Stat(f.source.config.Leases)
		replaced := lookErr == nil && !os.SameFile(now, f.info)
		if lookErr == nil && !replaced && now.Size() < f.at.offset { // dhcpd never does that
			f.at, f.known, f.due = place{line: 1}, 0, true
		}
		if err := f.read(ctx, replaced); err != nil {
			return err
		}
		if !replaced {
			return lookErr
		}
		f.source.count(func(t *Totals) { t.Rewrites++ })
		if err := f.close(); err != nil {
			return fmt.Errorf("close lease file: %w", err)
		}
	}
}

// open opens the file that has the name now, of which everything is to be stated.
func (f *following) open() error {
	file, err := os.Open(f.source.config.Leases)
	if err != nil {
		return fmt.Errorf("open lease file: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("look at lease file: %w", err), file.Close())
	}
	f.file, f.info, f.at, f.known, f.due = file, info, place{line: 1}, 0, true
	f.split, f.parser = newSplitter(), newRecordParser(f.source.config.Variables)
	return nil
}

// read states what is due; whole tells that nothing more is appended to the file.
func (f *following) read(ctx context.Context, whole bool) error {
	switch {
	case f.due && whole:
		return nil // everything is stated of the file in its place
	case f.due:
		return f.statement(ctx)
	}
	some := false
	err := f.records(whole, func(l *lease) error {
		some = true
		return f.change(ctx, l)
	})
	if err != nil || !some {
		return err
	}
	return f.sank(f.sink.Flush(ctx))
}

func (f *following) change(ctx context.Context, l *lease) error {
	return f.sank(f.sink.Change(ctx, l.change(f.sink.Now().UnixMilli())))
}

// sank remembers an error of the sink.
func (f *following) sank(err error) error {
	f.sunk = err
	return err
}

// records reads on, and calls each for what the records say, in their order.
func (f *following) records(whole bool, each func(*lease) error) error {
	f.split.reset(io.NewSectionReader(f.file, f.at.offset, math.MaxInt64-f.at.offset), f.at)
	for {
		r, err := f.split.record()
		switch {
		case errors.Is(err, io.EOF) && whole:
			for r, ok := f.split.broken(); ok; r, ok = f.split.broken() {
				if err := f.record(r, each); err != nil {
					return err
				}
			}
			fallthrough
		case errors.Is(err, io.EOF):
			f.at = f.split.resume()
			f.known = max(f.known, f.at.offset)
			return nil
		case err != nil:
			return fmt.Errorf("read lease file: %w", err)
		}
		if err := f.record(r, each); err != nil {
			return err
		}
	}
}

// record takes one record.
func (f *following) record(r record, each func(*lease) error) error {
	f.source.count(func(t *Totals) { t.Records++ })
	f.parser.parse(r)
	if r.start.offset >= f.known {
		for _, e := range f.parser.problems {
			f.source.bad(&RecordError{File: f.source.config.Leases, Line: e.line, Kept: e.kept, Err: e.err})
		}
	}
	for i := range f.parser.leases {
		if err := each(&f.parser.leases[i]); err != nil {
			return err
		}
	}
	return nil
}

// statement states everything that the file has.
func (f *following) statement(ctx context.Context) error {
	last := map[netip.Prefix]lease{}
	f.at, f.parser = place{line: 1}, newRecordParser(f.source.config.Variables)
	err := f.records(false, func(l *lease) error {
		if before, ok := last[l.key()]; l.status == active || !ok || before.sameClient(l) {
			last[l.key()] = *l
		}
		return nil
	})
	if err != nil {
		return err
	}
	links, linked := f.links()
	if err := f.sink.BeginResync(ctx, linked); err != nil {
		return f.sank(err)
	}
	for i := range links {
		if err := f.sink.Change(ctx, feed.DefineLink(&links[i])); err != nil {
			return f.sank(err)
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(last), netip.Prefix.Compare) {
		if l := last[key]; l.leased(f.sink.Now().Unix()) {
			if err := f.change(ctx, &l); err != nil {
				return err
			}
		}
	}
	if err := f.sink.EndResync(ctx); err != nil {
		return f.sank(err)
	}
	f.due, f.stated, f.next = false, true, time.Now().Add(f.source.config.Resync)
	f.source.count(func(t *Totals) { t.Statements++ })
	return nil
}

// links are those that the configurations describe; known tells whether they are all.
func (f *following) links() (links []binding.Link, known bool) {
	links = f.source.config.Links
	if f.source.config.Config == "" {
		return links, len(links) > 0
	}
	read, err := ReadConfig(f.source.config.Config)
	f.source.troubles.Set(confFile, err)
	if err != nil {
		return nil, false
	}
	return slices.Concat(links, read), true
}
