package kea

import (
	"errors"
	"fmt"
)

// place is where a line begins: the number of its file in the upper 16 bits, its offset below.
type place uint64

const (
	offsetBits = 48
	maxFiles   = 1 << (64 - offsetBits)
)

func placeOf(file int, offset int64) place { return place(uint64(file)<<offsetBits | uint64(offset)) }

// survey goes over lease files twice. First it reads every line and notes the place of the last line of each address; the second
// time only the lines at these places are read. So memory is bounded by the leases in force, not by the lines, and each lease
// costs a key and a place. Both times the files are the ones opened first, whatever Kea renames meanwhile, and as long as they
// were the first time.
type survey struct {
	lines  *lines
	parser parser
	files  []*reading
	last   map[[16]byte]place // by address alone, as in Kea: an address is never leased and a delegated prefix at once
	totals Totals
	first  *LineError // the first line that is left out, also of those that were reported already
	report func(*LineError)
}

func newSurvey(report func(*LineError)) *survey {
	return &survey{lines: newLines(), last: map[[16]byte]place{}, report: report}
}

// read notes the lines of a file, from where it was read to before. A torn line at the end of a file that grows is not there yet.
func (s *survey) read(i int, grows bool, beat func() error) error {
	return s.files[i].each(s.lines, &s.parser, wholeFile, beat, func(line []byte, err error) error {
		if !grows || !errors.Is(err, ErrTorn) {
			s.note(i, line, err)
		}
		return nil
	})
}

// headed is an error, which wraps ErrHeader, if the last of the files has no header. Kea writes it as it makes a file, so one without
// is being made, was emptied by somebody, or is none of Kea's: it does not say that nothing happened since the others.
func (s *survey) headed() error {
	if last := s.files[len(s.files)-1]; last.columns.count == 0 {
		return fmt.Errorf("%s: %w: there is none yet", last.file.Name(), ErrHeader)
	}
	return nil
}

// note takes a line into the survey.
func (s *survey) note(i int, line []byte, err error) {
	if errors.Is(err, ErrTorn) {
		s.totals.Partial++
		s.leftOut(i, err)
		return
	}
	s.totals.Rows++
	if err == nil {
		err = s.parser.parse(line)
	}
	if err != nil {
		s.totals.Skipped++
		s.leftOut(i, err)
		return
	}
	r := &s.parser.row
	s.totals.Newest = max(s.totals.Newest, r.transaction())
	key := r.prefix.Addr().As16()
	if _, known := s.last[key]; known {
		s.totals.Superseded++
	}
	if r.leased() {
		s.last[key] = placeOf(i, s.lines.start)
		return
	}
	s.totals.Ended++
	delete(s.last, key)
}

func (s *survey) leftOut(i int, err error) {
	e := lineProblem(err, s.files[i].file.Name(), s.lines.number, false)
	if s.first == nil {
		s.first = e
	}
	if s.lines.start >= s.files[i].known {
		s.report(e)
	}
}

// winners reads the leases in force again, in the order of the files, and calls f for each: the row is that of the parser, and
// the line that of lines.
func (s *survey) winners(beat func() error, f func(r *row, of *reading) error) error {
	for i, of := range s.files {
		again := &reading{file: of.file}
		err := again.each(s.lines, &s.parser, of.next.offset, beat, func(line []byte, err error) error {
			if err != nil {
				return nil // reported the first time
			}
			a, ok := s.parser.address(line)
			if !ok {
				return nil
			}
			if last, known := s.last[a.As16()]; !known || last != placeOf(i, s.lines.start) {
				return nil
			}
			if err := s.parser.parse(line); err != nil {
				// It could be read before. Something has written into the file's middle, which Kea never does.
				s.totals.Skipped++
				s.leftOut(i, err)
				return nil
			}
			return f(&s.parser.row, of)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
