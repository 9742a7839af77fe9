package kea

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
)

// Limits on a configuration, with everything that it includes.
const (
	maxConfigOctets = 64 << 20
	maxNested       = 10   // includes within includes; Kea's own limit
	maxIncludes     = 1000 // in all
)

// Errors of a configuration that is not JSON yet.
var (
	ErrInclude = errors.New("bad include")
	ErrComment = errors.New("comment without end")
)

// ConfigError tells what is wrong with a Kea configuration, and where.
type ConfigError struct {
	Place Place
	Err   error
}

// Error is the place, then what is wrong.
func (e *ConfigError) Error() string { return fmt.Sprintf("%v: %v", e.Place, e.Err) }

// Unwrap is what is wrong, without the place.
func (e *ConfigError) Unwrap() error { return e.Err }

// Place is a place in a file, from line 1 and column 1; columns count octets.
type Place struct {
	File         string
	Line, Column int
}

// String is file:line:column.
func (p Place) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// flat is a configuration as one JSON text: comments are blanked, included files stand where they are included. Kea's own
// extensions of JSON are #, // and /* */ comments, <?include "file"?>, and commas before a closing bracket; the last is left to
// the reader.
type flat struct {
	text   []byte
	pieces []piece
	folder string // relative includes are looked up in it

	includes int
}

// piece is a run of the text that comes from one file without gap.
type piece struct {
	start  int // in the text
	file   string
	source []byte
	offset int // in source
}

// flatten makes one text of a configuration file's. Includes with a relative name are looked up beside the file. The error is a
// *ConfigError.
func flatten(path string, source []byte) (*flat, error) {
	f := &flat{folder: filepath.Dir(path)}
	return f, f.add(path, source, 0)
}

// plain is a configuration that is JSON already and includes nothing; its name stands for a file in places.
func plain(name string, source []byte) *flat {
	return &flat{text: source, pieces: []piece{{0, name, source, 0}}}
}

// readConfigFile reads a file of bounded length.
func readConfigFile(path string) (text []byte, err error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	text, err = io.ReadAll(io.LimitReader(in, maxConfigOctets+1))
	return text, err
}

// add appends a file.
func (f *flat) add(file string, source []byte, depth int) error {
	if len(f.text)+len(source) > maxConfigOctets {
		return &ConfigError{Place{file, 1, 1}, fmt.Errorf("%w: the configuration has more than %d octets", ErrInclude, maxConfigOctets)}
	}
	f.pieces = append(f.pieces, piece{len(f.text), file, source, 0})
	for i := 0; i < len(source); {
		rest := source[i:]
		n, blank := 1, false
		switch c := rest[0]; {
		case c == '"':
			n = stringLength(rest)
		case c == '#', bytes.HasPrefix(rest, []byte("//")):
			n, blank = lineLength(rest), true
		case bytes.HasPrefix(rest, []byte("/*")):
			end := bytes.Index(rest[2:], []byte("*/"))
			if end < 0 {
				return &ConfigError{placeIn(file, source, i), ErrComment}
			}
			n, blank = end+4, true
		case bytes.HasPrefix(rest, []byte("<?")):
			n, err := f.include(file, source, i, depth)
			if err != nil {
				return err
			}
			i += n
			f.pieces = append(f.pieces, piece{len(f.text), file, source, i})
			continue
		}
		f.text = append(f.text, rest[:n]...)
		if blank {
			blankOut(f.text[len(f.text)-n:])
		}
		i += n
	}
	return nil
}

// stringLength is how far a string literal reaches; to the end of its line, if it does not end before.
func stringLength(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		case '\n':
			return i
		}
	}
	return len(b)
}

func lineLength(b []byte) int {
	if n := bytes.IndexByte(b, '\n'); n >= 0 {
		return n
	}
	return len(b)
}

// blankOut overwrites all but line ends, so that places stay the same.
func blankOut(b []byte) {
	for i := range b {
		if b[i] != '\n' {
			b[i] = ' '
		}
	}
}

// include appends the file of an include mark at an offset, and gives the mark's length.
func (f *flat) include(file string, source []byte, at, depth int) (int, error) {
	fail := func(format string, args ...any) (int, error) {
		return 0, &ConfigError{placeIn(file, source, at), fmt.Errorf("%w: "+format, append([]any{ErrInclude}, args...)...)}
	}
	mark, _, closed := bytes.Cut(source[at+len("<?"):], []byte("?>"))
	word, name, _ := bytes.Cut(mark, []byte{'"'})
	name = append([]byte{'"'}, bytes.TrimSpace(name)...)
	if !closed || string(bytes.TrimSpace(word)) != "include" || len(name) < 3 || name[0] != '"' || name[len(name)-1] != '"' {
		return fail(`want <?include "FILE"?>`)
	}
	if depth >= maxNested {
		return fail("nested deeper than %d", maxNested)
	}
	if f.includes++; f.includes > maxIncludes {
		return fail("more than %d in all", maxIncludes)
	}
	path := string(name[1 : len(name)-1])
	if !filepath.IsAbs(path) {
		path = filepath.Join(f.folder, path)
	}
	included, err := readConfigFile(path)
	if err != nil {
		return fail("%w", err)
	}
	return len("<?") + len(mark) + len("?>"), f.add(path, included, depth+1)
}

// place finds where an octet of the text comes from.
func (f *flat) place(offset int) Place {
	i := sort.Search(len(f.pieces), func(i int) bool { return f.pieces[i].start > offset }) - 1
	p := f.pieces[max(0, i)]
	return placeIn(p.file, p.source, p.offset+offset-p.start)
}

func placeIn(file string, source []byte, offset int) Place {
	before := source[:min(max(0, offset), len(source))]
	return Place{file, bytes.Count(before, []byte{'\n'}) + 1, len(before) - bytes.LastIndexByte(before, '\n')}
}
