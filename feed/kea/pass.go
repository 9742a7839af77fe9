package kea

import (
	"context"
	"time"

	"github.com/leasehold/leasehold/feed"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// pass reads lease files once and states what is in them. What Kea appends between its two readings is in neither.
type pass struct {
	*survey
	ctx      context.Context
	memfile  *Memfile
	now      time.Time
	reported int
}

func newPass(ctx context.Context, m *Memfile, files []leaseFile) (*pass, error) {
	p := &pass{ctx: ctx, memfile: m, now: time.Now()}
	p.survey = newSurvey(p.report)
	for _, f := range files {
		r, err := newReading(f)
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, r)
	}
	return p, nil
}

// alive is an error when the run is to end.
func (p *pass) alive() error { return context.Cause(p.ctx) }

// find surveys the files.
func (p *pass) find() error {
	p.memfile.config.Progress.Stage("read "+p.memfile.config.Files[0], "octets", p.octets())
	for i := range p.files {
		p.totals.Files++
		reported := int64(0)
		progress := func() error {
			p.memfile.config.Progress.Add(p.lines.end - reported)
			reported = p.lines.end
			return p.alive()
		}
		if err := p.read(i, false, progress); err != nil {
			return err
		}
		p.memfile.config.Progress.Add(p.lines.end - reported)
		p.totals.Octets += uint64(p.lines.end)
	}
	p.totals.Shift = p.memfile.shift(p.totals.Newest, p.now)
	return p.headed()
}

// octets is the length of all files, as it is now.
func (p *pass) octets() (sum int64) {
	for _, r := range p.files {
		info, err := r.file.Stat()
		if err != nil {
			return -1 // progress alone does not know
		}
		sum += info.Size()
	}
	return sum
}

// stateLinks states the links of Kea's configuration.
func (p *pass) stateLinks(sink feed.Sink, links []link) error {
	for i := range links {
		c := &ingestv1.Change{Change: &ingestv1.Change_DefineLink{DefineLink: linkMessage(&links[i])}}
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
	return p.winners(p.alive, func(r *row, of *reading) error { return p.stateLease(sink, c, r, of.file.Name()) })
}

func (p *pass) stateLease(sink feed.Sink, c *change, r *row, name string) error {
	now := sink.Now().UnixMilli()
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
