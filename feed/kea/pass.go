package kea

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/leasehold/leasehold/feed"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// place is where a line begins: the number of its file in the upper 16 bits, its offset below.
type place uint64

const (
	offsetBits = 48
	maxFiles   = 1 << (64 - offsetBits)
)

func placeOf(file int, offset int64) place { return place(uint64(file)<<offsetBits | uint64(offset)) }

// pass goes over the files twice. The survey reads every line and notes the place of the last line of each address; the second
// time only the lines at these places are read, and stated. So memory is bounded by the leases in force, not by the lines, and
// each lease costs a key and a place. Both times the files are the ones opened first, whatever Kea renames meanwhile; what Kea
// appends between the two is in neither.
type pass struct {
	ctx      context.Context
	memfile  *Memfile
	files    []*os.File
	now      time.Time
	lines    *lines
	parser   parser
	last     map[[16]byte]place // by address alone, as in Kea: an address is never leased and a delegated prefix at once
	totals   Totals
	reported int
}

func newPass(ctx context.Context, m *Memfile, files []*os.File) *pass {
	return &pass{ctx: ctx, memfile: m, files: files, now: time.Now(), lines: newLines(), last: map[[16]byte]place{}}
}

// each reads one file from its beginning: the header, then f for every line. A line that cannot be read whole has err set.
func (p *pass) each(file int, f func(line []byte, at place, err error) error) error {
	name := p.files[file].Name()
	if _, err := p.files[file].Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read lease file %s: %w", name, err)
	}
	p.lines.reset(p.files[file])
	header, err := p.lines.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil // Kea has created it and not yet written the header
	case errors.Is(err, ErrTorn) && p.lines.number == 1:
		return nil
	case err == nil:
		p.parser.columns, err = parseHeader(header)
	}
	if err != nil {
		return &LineError{File: name, Line: 1, Err: err}
	}
	for n := 0; ; n++ {
		if n%4096 == 0 && p.ctx.Err() != nil {
			return context.Cause(p.ctx)
		}
		line, err := p.lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, ErrTorn) && !errors.Is(err, ErrTooLong):
			return fmt.Errorf("read lease file %s: %w", name, err)
		case err == nil && len(line) == 0:
			continue
		}
		if err := f(line, placeOf(file, p.lines.start), err); err != nil {
			return err
		}
	}
}

// survey finds the last line of each address that has a lease in force.
func (p *pass) survey() error {
	p.memfile.config.Progress.Stage("read "+p.memfile.config.Files[0], "octets", p.octets())
	for i := range p.files {
		p.totals.Files++
		reported := int64(0)
		err := p.each(i, func(line []byte, at place, err error) error {
			p.note(i, line, at, err)
			if p.lines.end-reported >= 1<<20 {
				p.memfile.config.Progress.Add(p.lines.end - reported)
				reported = p.lines.end
			}
			return nil
		})
		if err != nil {
			return err
		}
		p.memfile.config.Progress.Add(p.lines.end - reported)
		p.totals.Octets += uint64(p.lines.end)
	}
	p.totals.Shift = p.memfile.shift(p.totals.Newest, p.now)
	return nil
}

// octets is the length of all files, as it is now.
func (p *pass) octets() (sum int64) {
	for _, f := range p.files {
		info, err := f.Stat()
		if err != nil {
			return -1 // progress alone does not know
		}
		sum += info.Size()
	}
	return sum
}

// note takes a line into the survey.
func (p *pass) note(file int, line []byte, at place, err error) {
	if errors.Is(err, ErrTorn) {
		p.totals.Partial++
		p.report(&LineError{File: p.files[file].Name(), Line: p.lines.number, Err: err})
		return
	}
	p.totals.Rows++
	if err == nil {
		err = p.parser.parse(line)
	}
	if err != nil {
		p.totals.Skipped++
		p.report(lineProblem(err, p.files[file].Name(), p.lines.number, false))
		return
	}
	r := &p.parser.row
	p.totals.Newest = max(p.totals.Newest, r.transaction())
	key := r.prefix.Addr().As16()
	if _, known := p.last[key]; known {
		p.totals.Superseded++
	}
	if r.leased() {
		p.last[key] = at
		return
	}
	p.totals.Ended++
	delete(p.last, key)
}

// stateLinks states the links of Kea's configuration.
func (p *pass) stateLinks(sink feed.Sink, links []link) error {
	for i := range links {
		l := &ingestv1.Link{Label: links[i].Label, Names: links[i].Names}
		for _, prefix := range links[i].Prefixes {
			l.Prefixes = append(l.Prefixes, prefix.String())
		}
		for _, a := range links[i].Relays {
			l.Relays = append(l.Relays, a.String())
		}
		c := &ingestv1.Change{Change: &ingestv1.Change_DefineLink{DefineLink: l}}
		if err := sink.Change(p.ctx, c); err != nil {
			return err
		}
		p.totals.Links++
	}
	return nil
}

// stateLeases states the leases that the survey found, in the order of the files.
func (p *pass) stateLeases(sink feed.Sink) error {
	c := newChange()
	for i := range p.files {
		err := p.each(i, func(line []byte, at place, err error) error {
			if err != nil {
				return nil // reported by the survey
			}
			a, ok := p.parser.address(line)
			if !ok {
				return nil
			}
			if last, known := p.last[a.As16()]; !known || last != at {
				return nil
			}
			return p.stateLease(sink, c, i, line)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) stateLease(sink feed.Sink, c *change, file int, line []byte) error {
	name := p.files[file].Name()
	if err := p.parser.parse(line); err != nil {
		// The survey has read it. Something has written into the file's middle, which Kea never does.
		p.totals.Skipped++
		p.report(lineProblem(err, name, p.lines.number, false))
		return nil
	}
	r, now := &p.parser.row, sink.Now().UnixMilli()
	if at, ends := r.runsOut(); ends && (at+p.totals.Shift)*1000 <= now {
		p.totals.Expired++
		return nil
	}
	if r.relaysFail != nil {
		p.totals.WithoutRelays++
		p.report(&LineError{File: name, Line: p.lines.number, Field: "user_context", Kept: true, Err: r.relaysFail})
	}
	if err := c.fill(r, p.totals.Shift, now); err != nil {
		p.totals.WithoutName++
		p.report(&LineError{File: name, Line: p.lines.number, Field: "hostname", Kept: true, Err: err})
	}
	p.totals.Leases++
	return sink.Change(p.ctx, &c.message)
}

// report tells of a line.
func (p *pass) report(e *LineError) {
	p.reported++
	switch logger := p.memfile.config.Logger; {
	case p.memfile.config.Report != nil:
		p.memfile.config.Report(e)
	case p.reported > maxLogged:
	case e.Kept:
		logger.Warn("A lease is stated without a field", "file", e.File, "line", e.Line, "field", e.Field, "error", e.Err)
	default:
		logger.Warn("A line is left out", "file", e.File, "line", e.Line, "field", e.Field, "error", e.Err)
	}
}

// summarize logs what was found.
func (p *pass) summarize() {
	t := p.totals
	if p.reported > maxLogged && p.memfile.config.Report == nil {
		p.memfile.config.Logger.Warn("Not every bad line was logged", "logged", maxLogged, "bad", p.reported)
	}
	p.memfile.config.Logger.Info("Kea's lease files are read", "files", t.Files, "rows", t.Rows, "leases", t.Leases, "links", t.Links,
		"expired", t.Expired, "skipped", t.Skipped, "without_relays", t.WithoutRelays, "without_name", t.WithoutName)
}
