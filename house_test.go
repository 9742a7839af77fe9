// Package leasehold_test guards the shape of the source tree: which package may import which, that every exported name is
// documented, and that files and functions stay of a size that can be read.
package leasehold_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/leasehold/leasehold"

// sourceFile is one parsed Go file.
type sourceFile struct {
	path      string // slash-separated, relative to the module's root
	dir       string
	generated bool
	test      bool
	fset      *token.FileSet
	ast       *ast.File
}

func parseTree(t *testing.T) []sourceFile {
	t.Helper()
	var files []sourceFile
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "tools" || d.Name() == "bin"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, src, parser.ParseComments)
		if err != nil {
			return err
		}
		slash := filepath.ToSlash(path)
		files = append(files, sourceFile{path: slash, dir: filepath.ToSlash(filepath.Dir(path)), generated: ast.IsGenerated(f),
			test: strings.HasSuffix(path, "_test.go"), fset: fset, ast: f})
		return nil
	})
	if err != nil {
		t.Fatalf("parse the tree: %v", err)
	}
	if len(files) < 50 {
		t.Fatalf("found only %d Go files: the walk is broken", len(files))
	}
	return files
}

// forbidden tells why a package in dir may not import the package in other, or "".
func forbidden(dir, other string) string {
	in := func(d, room string) bool { return d == room || strings.HasPrefix(d, room+"/") }
	leaf := in(dir, "proto") || dir == "protocol/dhcpv6" || dir == "fsm/binding"
	switch {
	case leaf:
		return "a leaf imports no package of the project"
	case in(dir, "cluster") && in(other, "protocol"), in(dir, "fsm") && in(other, "protocol"):
		return "cluster and fsm never import protocol"
	case in(dir, "protocol") && (in(other, "cluster") || in(other, "proto")):
		return "protocol never imports cluster or proto"
	case in(dir, "fsm") && (in(other, "cluster") || in(other, "proto") || in(other, "feed")):
		return "fsm knows neither cluster, proto nor feed"
	case in(dir, "feed") && !strings.HasSuffix(dir, "test") && !in(other, "feed") && !in(other, "proto/ingest") && other != "protocol/dhcpv6" && other != "fsm/binding" &&
		!(dir == "feed/upstream" && other == "protocol/requestor"):
		return "feed reaches the cluster only through proto/ingest"
	case in(other, "cmd") && !in(dir, "cmd"):
		return "nothing imports the binary"
	case in(dir, "cluster") && in(other, "feed"):
		return "cluster never imports feed"
	}
	return ""
}

// forbiddenOutside tells why a package in dir may not import a package from elsewhere, or "".
func forbiddenOutside(dir, path string) string {
	raft := strings.HasPrefix(path, "github.com/hashicorp/raft")
	rpc := strings.HasPrefix(path, "google.golang.org/grpc")
	switch {
	case strings.HasPrefix(dir, "fsm/") && raft:
		return "only package fsm itself sees raft"
	case strings.HasPrefix(dir, "protocol") && (raft || rpc):
		return "protocol never imports raft or grpc"
	case strings.HasPrefix(dir, "fsm") && rpc:
		return "fsm never imports grpc"
	}
	return ""
}

func TestImportsGoOneWay(t *testing.T) {
	for _, f := range parseTree(t) {
		for _, spec := range f.ast.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			why := ""
			if other, ours := strings.CutPrefix(path, module+"/"); ours {
				if other != f.dir && !f.test {
					why = forbidden(f.dir, other)
				}
			} else {
				why = forbiddenOutside(f.dir, path)
			}
			if why != "" {
				t.Errorf("%s imports %s: %s", f.fset.Position(spec.Pos()), path, why)
			}
		}
	}
}

func TestImportRulesCanFail(t *testing.T) {
	for _, tc := range [][2]string{
		{"protocol/bulk", "cluster"}, {"cluster/ingest", "protocol/dhcpv6"}, {"fsm/store", "protocol/leasequery"}, {"fsm/binding", "fsm/store"},
		{"feed/kea", "cluster"}, {"feed/kea", "protocol/requestor"}, {"feed/upstream", "protocol/bulk"}, {"protocol/bulk", "proto/admin/v1"}, {"cluster", "cmd/leasehold/config"}, {"proto/admin/v1", "fsm/binding"},
		{"feed/feedtest", "cmd/leasehold/config"},
	} {
		if forbidden(tc[0], tc[1]) == "" {
			t.Errorf("%s may import %s", tc[0], tc[1])
		}
	}
	if forbiddenOutside("fsm/store", "github.com/hashicorp/raft") == "" || forbiddenOutside("protocol/bulk", "google.golang.org/grpc/codes") == "" {
		t.Error("raft in fsm/store or grpc in protocol is allowed")
	}
}

func TestNoDrawers(t *testing.T) {
	drawers := []string{"util", "utils", "common", "helpers", "types", "misc", "base", "manager", "internal", "pkg"}
	for _, f := range parseTree(t) {
		for part := range strings.SplitSeq(f.dir, "/") {
			if slices.Contains(drawers, part) {
				t.Errorf("%s is in a drawer, not a room", f.path)
			}
		}
	}
}

func TestStateMachineReadsNoClock(t *testing.T) {
	for _, f := range parseTree(t) {
		if f.test || (f.dir != "fsm" && !strings.HasPrefix(f.dir, "fsm/")) {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if id, ok := s.X.(*ast.Ident); ok && (id.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "Tick", "NewTimer", "NewTicker"}, s.Sel.Name) || id.Name == "rand") {
					t.Errorf("%s: %s.%s in the state machine", f.fset.Position(n.Pos()), id.Name, s.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestNoSleepsInTests(t *testing.T) {
	for _, f := range parseTree(t) {
		if !f.test {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Sleep" {
				if id, ok := s.X.(*ast.Ident); ok && id.Name == "time" {
					t.Errorf("%s: wait for a condition instead", f.fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
}

func TestFilesAndFunctionsAreRooms(t *testing.T) {
	const maxFile, maxFunction = 400, 80
	for _, f := range parseTree(t) {
		if f.generated || f.test {
			continue
		}
		if n := f.fset.File(f.ast.Pos()).LineCount(); n > maxFile {
			t.Errorf("%s has %d lines, more than %d", f.path, n, maxFile)
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line; n > maxFunction {
				t.Errorf("%s: %s has %d lines, more than %d", f.fset.Position(fn.Pos()), fn.Name.Name, n, maxFunction)
			}
		}
	}
}

func TestEveryExportedNameIsDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range parseTree(t) {
		if f.generated || f.test {
			continue
		}
		if f.ast.Doc != nil {
			documented[f.dir] = true
		} else if _, known := documented[f.dir]; !known {
			documented[f.dir] = false
		}
		for _, d := range f.ast.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: %s has no comment", f.fset.Position(d.Pos()), name)
			}
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package in %s has no package comment", dir)
		}
	}
}

// undocumented lists the exported names of a declaration that have no comment.
func undocumented(d ast.Decl) []string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
			return []string{d.Name.Name}
		}
	case *ast.GenDecl:
		var out []string
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
					out = append(out, s.Name.Name)
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
						out = append(out, n.Name)
					}
				}
			}
		}
		return out
	}
	return nil
}

func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	typ := f.Recv.List[0].Type
	if p, ok := typ.(*ast.StarExpr); ok {
		typ = p.X
	}
	if g, ok := typ.(*ast.IndexExpr); ok {
		typ = g.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}
