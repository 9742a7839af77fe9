package leasehold_test

import (
	"fmt"
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// requirement is one row of docs/conformance.md.
type requirement struct {
	line  int
	id    string // "5460 7.3a" or "Rule 14c"
	level string
	what  string
	does  string
	tests []namedTest
	quiet bool // nothing of it goes over a socket, as the row says
}

// namedTest is a test that a row names: the package's folder and the function.
type namedTest struct{ dir, name string }

// offTheWire ends the tests of a row that is about nothing that goes over a socket: a default, a page of documentation.
const offTheWire = "†"

// lastRule is the number of the last of the project's own rules.
const lastRule = 27

var (
	rowID    = regexp.MustCompile(`^(\d{4} [0-9.]+|[0-9]{4} [GS]-\d|Rule \d+)[a-z]?$`)
	testName = regexp.MustCompile("^`(Test[A-Z0-9]\\w*)`$")
)

// parseConformance reads the rows of the tables. Whatever is not as the page says of itself is an error, with its line.
func parseConformance(page string) (rows []requirement, errs []error) {
	for n, line := range strings.Split(page, "\n") {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| Row |") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) != 5 {
			errs = append(errs, fmt.Errorf("line %d: %d cells, want 5", n+1, len(cells)))
			continue
		}
		r := requirement{line: n + 1, id: cells[0], level: cells[1], what: cells[2], does: cells[3]}
		list, quiet := strings.CutSuffix(cells[4], offTheWire)
		r.quiet = quiet
		var err error
		if r.tests, err = parseTests(list); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %s: %w", r.line, r.id, err))
		}
		rows = append(rows, r)
	}
	return rows, errs
}

// parseTests reads "protocol/bulk: `TestA`, `TestB`; protocol/udp: `TestC`".
func parseTests(cell string) (tests []namedTest, err error) {
	if strings.TrimSpace(cell) == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(cell, ";") {
		dir, names, ok := strings.Cut(strings.TrimSpace(part), ": ")
		if !ok {
			return nil, fmt.Errorf("%q names no package", part)
		}
		for name := range strings.SplitSeq(names, ",") {
			m := testName.FindStringSubmatch(strings.TrimSpace(name))
			if m == nil {
				return nil, fmt.Errorf("%q is no test", name)
			}
			tests = append(tests, namedTest{dir, m[1]})
		}
	}
	return tests, nil
}

// checkConformance tells what is wrong with the rows: want is the row's ids, in their order; there are the tests that exist, and
// whether each opens a socket.
func checkConformance(rows []requirement, want []string, there map[namedTest]bool) (errs []error) {
	complain := func(r requirement, format string, args ...any) {
		errs = append(errs, fmt.Errorf("line %d: %s: %w", r.line, r.id, fmt.Errorf(format, args...)))
	}
	var have []string
	for _, r := range rows {
		have = append(have, r.id)
		switch {
		case !rowID.MatchString(r.id):
			complain(r, "no row's name")
		case !slices.Contains([]string{"MUST", "SHOULD", "MAY", "ours"}, r.level):
			complain(r, "level %q", r.level)
		case r.what == "" || r.does == "":
			complain(r, "an empty cell")
		case len(r.tests) == 0:
			complain(r, "no test")
		}
		wired := r.quiet
		for _, n := range r.tests {
			socket, ok := there[n]
			if !ok {
				complain(r, "%s has no %s", n.dir, n.name)
			}
			wired = wired || socket
		}
		if len(r.tests) > 0 && !wired {
			complain(r, "none of its tests opens a socket")
		}
	}
	for _, id := range want {
		if !slices.Contains(have, id) {
			errs = append(errs, fmt.Errorf("row %s is gone", id))
		}
	}
	if len(errs) == 0 && !slices.Equal(have, want) {
		errs = append(errs, fmt.Errorf("rows %q\nare not, in this order, %q", have, want))
	}
	for rule := 1; rule <= lastRule; rule++ {
		own := regexp.MustCompile("^Rule " + strconv.Itoa(rule) + "[a-z]?$")
		if !slices.ContainsFunc(have, own.MatchString) {
			errs = append(errs, fmt.Errorf("rule %d has no row", rule))
		}
	}
	return errs
}

// reachesSockets finds the tests of the tree, each with whether it, or what it calls in its own folder's tests, opens a socket or
// starts a process.
func reachesSockets(files []sourceFile) map[namedTest]bool {
	calls := map[namedTest][]string{} // a function's name, or a method's, in its folder
	opens := map[namedTest]bool{}
	for _, f := range files {
		if !f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			key := namedTest{f.dir, fn.Name.Name}
			calls[key] = append(calls[key], "")
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Ident:
					calls[key] = append(calls[key], n.Name)
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && opensSocket(x.Name, n.Sel.Name) {
						opens[key] = true
					}
				}
				return true
			})
		}
	}
	there := map[namedTest]bool{}
	for key := range calls {
		if strings.HasPrefix(key.name, "Test") {
			there[key] = reaches(key, calls, opens, map[namedTest]bool{})
		}
	}
	return there
}

func reaches(key namedTest, calls map[namedTest][]string, opens, seen map[namedTest]bool) bool {
	if seen[key] {
		return false
	}
	seen[key] = true
	return opens[key] || slices.ContainsFunc(calls[key], func(name string) bool {
		return reaches(namedTest{key.dir, name}, calls, opens, seen)
	})
}

func opensSocket(pkg, name string) bool {
	switch pkg {
	case "net":
		return strings.HasPrefix(name, "Dial") || strings.HasPrefix(name, "Listen")
	case "exec":
		return strings.HasPrefix(name, "Command")
	case "clustertest", "netlab":
		return strings.HasPrefix(name, "Start") || strings.HasPrefix(name, "New")
	}
	return false
}

// conformanceRows are the ids of every row that there must be, in order.
func conformanceRows(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/conformance.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// TestEveryRequirementHasItsTest: each row of the conformance table is there, says what is done, and names tests that exist.
func TestEveryRequirementHasItsTest(t *testing.T) {
	b, err := os.ReadFile("docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, errs := parseConformance(string(b))
	errs = append(errs, checkConformance(rows, conformanceRows(t), reachesSockets(parseTree(t)))...)
	for _, err := range errs {
		t.Errorf("docs/conformance.md: %v", err)
	}
}

func TestConformanceCheckCanFail(t *testing.T) {
	there := map[namedTest]bool{{"a", "TestSocket"}: true, {"a", "TestNone"}: false}
	var want []string
	good := "| Row | Level | Requirement | What Leasehold does | Tests |\n|---|---|---|---|---|\n"
	for rule := 1; rule <= lastRule; rule++ {
		want = append(want, fmt.Sprintf("Rule %d", rule))
		good += fmt.Sprintf("| Rule %d | ours | this | that | a: `TestNone`, `TestSocket` |\n", rule)
	}
	check := func(page string) []error {
		rows, errs := parseConformance(page)
		return append(errs, checkConformance(rows, want, there)...)
	}
	if errs := check(good); len(errs) != 0 {
		t.Fatalf("a good table: %v", errs)
	}
	row := func(n int, change func(string) string) string {
		lines := strings.Split(good, "\n")
		lines[n+1] = change(lines[n+1])
		return strings.Join(lines, "\n")
	}
	replace := func(from, to string) func(string) string {
		return func(s string) string { return strings.Replace(s, from, to, 1) }
	}
	for name, page := range map[string]string{
		"no row":                   "",
		"a row is gone":            row(7, func(string) string { return "" }),
		"a row twice":              row(7, func(s string) string { return s + "\n" + s }),
		"rows in another order":    row(7, replace("7", "8")),
		"no test":                  row(7, replace("a: `TestNone`, `TestSocket`", "")),
		"a test that is not there": row(7, replace("`TestSocket`", "`TestSockets`")),
		"a test of another folder": row(7, replace("a:", "b:")),
		"no folder":                row(7, replace("a: ", "")),
		"a test not in backquotes": row(7, replace("`TestSocket`", "TestSocket")),
		"no socket":                row(7, replace(", `TestSocket`", "")),
		"an unknown level":         row(7, replace("ours", "WOULD")),
		"nothing is done":          row(7, replace("that", "")),
		"too few cells":            row(7, replace("| that ", "")),
		"a strange name":           row(7, replace("Rule 7", "Rule seven")),
	} {
		if len(check(page)) == 0 {
			t.Errorf("%s: not noticed", name)
		}
	}
}

// TestPagesSayWhatIsLeftToThem: where the table leaves a requirement to documentation, the page is there and says it.
func TestPagesSayWhatIsLeftToThem(t *testing.T) {
	for page, words := range map[string][]string{
		"docs/relays.md": {"IPsec", "Transport mode", "547"},
		"docs/tls.md":    {"STARTTLS", "requestor"},
	} {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
		}
		for _, w := range words {
			if !strings.Contains(string(b), w) {
				t.Errorf("%s says nothing of %q", page, w)
			}
		}
	}
}
