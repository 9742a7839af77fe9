package deployment

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

// Defaults of a plan.
const (
	DefaultBinary = "/usr/bin/leasehold"
	DefaultHTTP   = "127.0.0.1:5473"
)

//go:embed *.tmpl
var sources embed.FS

// Node is a node of the cluster.
type Node struct {
	Name string     // its folder
	Addr netip.Addr // on the network of relays or routers; IPv6
}

// Plan is what both kinds of deployment have in common.
type Plan struct {
	Command   string // how the files are made again; for their comments
	Nodes     []Node // in the order of the cluster; at least one
	Interface string // the nodes' interface to relays or routers
	HTTP      string // host:port of a node's HTTP, on its own machine
	Binary    string // absolute path of leasehold on the nodes
}

// File is a file to be written.
type File struct {
	Path string // below the folder for all nodes: node/name
	Data []byte
}

var (
	// ErrPlan is wrapped by every error about a plan that cannot work.
	ErrPlan = errors.New("deployment")

	name      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	ifname    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$`)
	hostPort  = regexp.MustCompile(`^[][0-9A-Za-z.:-]+:[0-9]{1,5}$`)
	plainPath = regexp.MustCompile(`^/[A-Za-z0-9._/+-]+$`)
)

func (p Plan) check() error {
	seen := map[string]bool{}
	for _, n := range p.Nodes {
		switch {
		case !name.MatchString(n.Name):
			return fmt.Errorf("%w: node name %q: want letters, digits, dots and dashes", ErrPlan, n.Name)
		case seen[n.Name]:
			return fmt.Errorf("%w: node %s is given twice", ErrPlan, n.Name)
		case seen[n.Addr.String()]:
			return fmt.Errorf("%w: two nodes have the address %v", ErrPlan, n.Addr)
		case !usable(n.Addr):
			return fmt.Errorf("%w: node %s has address %v: want its IPv6 address on the network of relays or routers", ErrPlan, n.Name, n.Addr)
		}
		seen[n.Name], seen[n.Addr.String()] = true, true
	}
	switch {
	case len(p.Nodes) == 0:
		return fmt.Errorf("%w: no nodes", ErrPlan)
	case !ifname.MatchString(p.Interface):
		return fmt.Errorf("%w: %q is not the name of an interface", ErrPlan, p.Interface)
	case !hostPort.MatchString(p.HTTP):
		return fmt.Errorf("%w: HTTP address %q: want host:port", ErrPlan, p.HTTP)
	case !plainPath.MatchString(p.Binary):
		return fmt.Errorf("%w: path %q: want an absolute path of plain characters", ErrPlan, p.Binary)
	case strings.ContainsAny(p.Command, "\r\n"):
		return fmt.Errorf("%w: the command is not one line", ErrPlan)
	}
	return nil
}

// usable tells whether an address can be a node's or a virtual one.
func usable(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && a.Zone() == "" && a.IsGlobalUnicast()
}

// render makes a node's file from a template.
func render(node, file, source string, data any) (File, error) {
	t, err := template.ParseFS(sources, source)
	if err != nil {
		return File{}, fmt.Errorf("read template %s: %w", source, err)
	}
	var b bytes.Buffer
	if err := t.Option("missingkey=error").Execute(&b, data); err != nil {
		return File{}, fmt.Errorf("write %s of %s: %w", file, node, err)
	}
	return File{Path: node + "/" + file, Data: b.Bytes()}, nil
}

// Write writes the files below dir, which is made if it does not exist. Files of the same name are replaced.
func Write(dir string, files []File) error {
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	return nil
}
