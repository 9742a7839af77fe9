package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxFile bounds how much of a configuration file is read, in octets.
const maxFile = 4 << 20

// Problem is one thing wrong, or doubtful, in a configuration.
type Problem struct {
	Line int    // 1-based; 0 when the key is not in the file
	Key  string // dotted path; empty for a syntax error
	Text string
}

// String is the problem as "line 12: bulk.max_connections: …".
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Error is everything wrong with one configuration.
type Error struct {
	File     string
	Problems []Problem // by line
}

// Error lists the problems, one a line.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		lines = append(lines, e.File+": "+p.String())
	}
	return strings.Join(lines, "\n")
}

// Load reads a node's configuration file, lays each "key=value" of sets over it, and checks the whole. Warnings are what works but
// deserves a thought. The error is an *Error unless the file could not be read.
func Load(file string, sets []string) (Config, []Problem, error) {
	data, err := read(file)
	if err != nil {
		return Config{}, nil, err
	}
	return Parse(file, data, sets)
}

// Parse is Load for a file's content.
func Parse(file string, data []byte, sets []string) (Config, []Problem, error) {
	return parse(file, data, sets, Default(), (*checker).check)
}

func read(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("read configuration %q: %d octets, want at most %d", file, info.Size(), maxFile)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return data, nil
}

// parse lays the file's content, and sets, over c and checks the whole.
func parse[T any](file string, data []byte, sets []string, c T, check func(*checker, *T)) (T, []Problem, error) {
	var none T
	root, problems := document(data)
	if len(problems) == 0 {
		for _, s := range sets {
			if p := set(root, s); p != nil {
				problems = append(problems, *p)
			}
		}
	}
	if len(problems) > 0 {
		return none, nil, &Error{File: file, Problems: problems}
	}
	if root.Kind != 0 {
		problems = loadProblems(root.Load(&c, yaml.WithKnownFields()))
	}
	ck := checker{lines: map[string]int{}, folder: filepath.Dir(file)}
	ck.index("", root)
	check(&ck, &c)
	unread := map[int]bool{} // lines whose value was not read: what is wrong with it has been said
	for _, p := range problems {
		unread[p.Line] = true
	}
	for _, p := range ck.errors {
		if !unread[p.Line] {
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
		return none, nil, &Error{File: file, Problems: problems}
	}
	return c, ck.warnings, nil
}

// document parses the file as one YAML mapping; an empty file is an empty mapping.
func document(data []byte) (*yaml.Node, []Problem) {
	empty := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if isBlank(data) {
		return empty, nil
	}
	var doc yaml.Node
	if err := yaml.Load(data, &doc); err != nil {
		return nil, loadProblems(err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return empty, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, []Problem{{Line: root.Line, Text: "a configuration is a mapping of keys"}}
	}
	return root, nil
}

func isBlank(data []byte) bool {
	for line := range strings.Lines(string(data)) {
		if t := strings.TrimSpace(line); t != "" && !strings.HasPrefix(t, "#") {
			return false
		}
	}
	return true
}

// loadProblems takes an error of the YAML library apart.
func loadProblems(err error) []Problem {
	if err == nil {
		return nil
	}
	var many *yaml.LoadErrors
	if errors.As(err, &many) {
		var ps []Problem
		for _, e := range many.Errors {
			ps = append(ps, Problem{Line: e.Mark.Line, Text: plain(e.Message)})
		}
		return ps
	}
	var one *yaml.LoadError
	if errors.As(err, &one) {
		return []Problem{{Line: one.Mark.Line, Text: plain(one.Message)}}
	}
	return []Problem{{Text: err.Error()}}
}

// plain says what the YAML library says without the names of Go's types.
func plain(message string) string {
	if rest, ok := strings.CutPrefix(message, "field "); ok {
		if key, _, ok := strings.Cut(rest, " not found in type "); ok {
			return fmt.Sprintf("key %q is not known", key) + elsewhere[key]
		}
	}
	message = strings.NewReplacer("into time.Duration", "into a duration, such as 30s", "cannot construct", "cannot turn", "!!", "").Replace(message)
	return structures.ReplaceAllStringFunc(message, func(s string) string {
		if strings.Contains(s, "[]") {
			return "into a list"
		}
		return "into a mapping of keys"
	})
}

// structures are Go's names of lists and mappings.
var structures = regexp.MustCompile(`into (\*?config\.\w+|\[\][\w.]+)$`)

// elsewhere says of a key that is not known where it is.
var elsewhere = map[string]string{
	"sources":  ": is this an agent's file (leasehold feed --config, config check --feed)?",
	"data_dir": ": is this a node's file (leasehold server --config, config check without --feed)?",
}
