package kea

import (
	"errors"
	"math"
	"os"
)

// statement is a full statement that is being made.
type statement struct {
	*following
	survey *survey
	older  []leaseFile // files that were set aside before
	next   *chain      // begins with the file that is current
}

// state gives a full statement, and leaves behind the tail that begins where it ended.
func (s *following) state() (err error) {
	t, err := s.open()
	if err != nil {
		return err
	}
	defer func() {
		s.stating = nil
		if s.tail != t.next {
			err = errors.Join(err, t.next.close())
		}
		err = errors.Join(err, t.next.release(), closeFiles(t.older))
	}()
	if err := t.read(); err != nil {
		return err
	}
	if err := t.survey.headed(); err != nil {
		return err
	}
	if err := t.say(); err != nil {
		return err
	}
	if t.next.broken != nil {
		return t.next.broken
	}
	return s.out(chunk{end: true})
}

// open opens the files.
func (s *following) open() (*statement, error) {
	files, err := openSet(s.ctx, s.disk, s.config.path)
	if err != nil {
		return nil, err
	}
	t := &statement{following: s}
	t.survey = newSurvey(t.reported)
	for _, f := range files {
		r, err := newReading(f)
		if err != nil {
			return nil, errors.Join(err, closeFiles(files))
		}
		t.survey.files = append(t.survey.files, r)
	}
	current := len(files) - 1
	t.older = files[:current]
	t.next = &chain{disk: s.disk, clock: s.clock, path: s.config.path, files: []*reading{t.survey.files[current]}, holds: true}
	t.recognize()
	return t, nil
}

// recognize finds out which lines were read before, so that what is wrong with them is not reported again.
func (t *statement) recognize() {
	if t.tail == nil || t.tail.broken != nil {
		return
	}
	old := t.tail.files[0]
	for i, r := range t.survey.files {
		if !os.SameFile(r.info, old.info) {
			continue
		}
		r.known = old.next.offset
		for _, older := range t.survey.files[:i] {
			older.known = math.MaxInt64
		}
	}
}

// reported reports a line that the survey could not read. The tail, if it comes to the same line, does not.
func (t *statement) reported(e *LineError) {
	t.badLine(e)
	for _, r := range t.survey.files {
		if t.tail != nil && os.SameFile(r.info, t.tail.files[0].info) && r.file.Name() == e.File {
			t.tail.files[0].known = t.survey.lines.end
		}
	}
}

// read surveys the files. Meanwhile the tail that there is goes on.
func (t *statement) read() error {
	for i := range t.survey.files {
		if err := t.survey.read(i, i == len(t.survey.files)-1, t.beat); err != nil {
			return err
		}
	}
	return t.beat()
}

// beat is done now and then while files are read.
func (t *statement) beat() error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	_ = t.next.look() // remembered; an error comes again
	if t.tail == nil || t.tail.broken != nil {
		return nil
	}
	if err := t.advance(); t.over(err) {
		return err
	}
	t.recognize()
	return nil
}

// say states what was found. Between the begin and the end of the statement the lines that are appended are told already. The begin
// comes before the newest lines are read, so that whatever came another way before the begin is in the statement.
func (t *statement) say() error {
	if err := t.out(chunk{begin: &beginning{}}); err != nil {
		return err
	}
	rows := &sheaf{out: t.out, most: t.rows, asked: t.clock()}
	if err := t.catchUp(); err != nil {
		return err
	}
	t.stating = t.survey
	flush := func() error {
		if err := rows.flush(); err != nil {
			return err
		}
		if err := t.advance(); t.over(err) {
			return err
		}
		if t.next.broken != nil {
			return t.next.broken
		}
		return nil
	}
	err := t.survey.winners(flush, func(r *row, of *reading) error {
		if r.relaysFail != nil && t.survey.lines.start >= of.known {
			t.badLine(&LineError{File: of.file.Name(), Line: t.survey.lines.number, Field: "user_context", Kept: true, Err: r.relaysFail})
		}
		if rows.add(r) {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return err
	}
	if first := t.survey.first; first != nil {
		bad := badLines{first, t.survey.totals.Skipped + t.survey.totals.Partial - 1}
		return bad.flush(t.out)
	}
	return nil
}

// catchUp surveys what was appended meanwhile, and makes the place where that ends the beginning of the tail.
func (t *statement) catchUp() error {
	none := func() error { return t.ctx.Err() }
	for {
		if err := t.next.look(); err != nil {
			return err
		}
		if t.next.broken != nil {
			return t.next.broken
		}
		if err := t.survey.read(len(t.survey.files)-1, !t.next.whole(), none); err != nil {
			return err
		}
		if len(t.next.files) == 1 {
			break
		}
		if err := t.next.pass(); err != nil {
			return err
		}
		t.survey.files = append(t.survey.files, t.next.files[0])
	}
	tail := *t.next.files[0] // the survey's stays where the survey ended
	t.next.files[0] = &tail
	if t.tail != nil {
		if err := t.tail.close(); err != nil {
			return err
		}
	}
	t.following.tail = t.next
	return nil
}
