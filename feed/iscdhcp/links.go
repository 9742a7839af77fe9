package iscdhcp

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Bounds of a configuration.
const (
	maxConfig   = 64 << 20 // octets of a file
	maxIncludes = 1000     // files in all
	maxNesting  = 100      // blocks in blocks
)

// ErrMeaning is wrapped when a configuration is well-formed and means nothing: a subnet without prefix, two of one name.
var ErrMeaning = errors.New("not a usable configuration")

// ReadConfig reads the links that a configuration file of dhcpd and the files that it includes describe: a shared network is one
// link of the prefixes of all its subnets, labelled "shared-network NAME"; any other subnet is one, labelled "subnet PREFIX". Both
// may stand in groups. Names of included files that are relative are so to the folder of the file that includes them. Everything
// else is passed over. The error is a *RecordError, or that of opening a file.
func ReadConfig(path string) ([]binding.Link, error) {
	c := &configReader{subnets: map[netip.Prefix]bool{}, labels: map[string]bool{}}
	if err := c.read(path, nil); err != nil {
		return nil, err
	}
	return c.links, nil
}

// configReader walks over a configuration.
type configReader struct {
	links   []binding.Link
	subnets map[netip.Prefix]bool
	labels  map[string]bool
	files   int

	path string
	in   tokens
}

// read reads a file. network is the shared network around its include; nil: none.
func (c *configReader) read(path string, network *binding.Link) error {
	if c.files++; c.files > maxIncludes {
		return fmt.Errorf("%w: more than %d files, or a file that includes itself: %s", ErrMeaning, maxIncludes, path)
	}
	text, err := readLimited(path)
	if err != nil {
		return fmt.Errorf("read dhcpd's configuration: %w", err)
	}
	outerPath, outer := c.path, c.in
	c.path, c.in = path, tokens{text: text, line: 1}
	defer func() { c.path, c.in = outerPath, outer }()
	return c.block(network, 0)
}

// readLimited is the content of a file that is not too large.
func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(text) > maxConfig {
		err = fmt.Errorf("%w: %s has more than %d octets", ErrLong, path, maxConfig)
	}
	return text, err
}

func (c *configReader) fail(t token, err error, what string) error {
	return &RecordError{File: c.path, Line: t.line, Err: wrong(t, err, what).err}
}

// block reads statements up to the end of the block, or of the file at depth 0.
func (c *configReader) block(network *binding.Link, depth int) error {
	var words []token
	for {
		t, err := c.in.next()
		if err != nil {
			return &RecordError{File: c.path, Line: t.line, Err: ErrString}
		}
		switch {
		case t.kind == end && depth == 0 && len(words) == 0:
			return nil
		case t.kind == end:
			return c.fail(t, ErrTorn, "end of file")
		case t.is("}") && depth == 0:
			return c.fail(t, ErrSyntax, "")
		case t.is("}"):
			return nil
		case t.is(";"):
			if err := c.statement(words, network); err != nil {
				return err
			}
		case t.is("{"):
			if err := c.open(t, words, network, depth+1); err != nil {
				return err
			}
		default:
			words = append(words, t)
			continue
		}
		words = words[:0]
	}
}

// statement looks for includes.
func (c *configReader) statement(words []token, network *binding.Link) error {
	if len(words) != 2 || !words[0].is("include") {
		return nil
	}
	name, err := words[1].octets()
	if err != nil {
		return c.fail(words[1], ErrString, "include")
	}
	path := string(name)
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(c.path), path)
	}
	return c.read(path, network)
}

// open reads the block behind these words.
func (c *configReader) open(t token, words []token, network *binding.Link, depth int) error {
	switch {
	case depth > maxNesting:
		return c.fail(t, ErrLong, "blocks in blocks")
	case len(words) == 2 && words[0].is("shared-network"):
		return c.network(words[1], depth)
	case len(words) == 2 && words[0].is("subnet6"):
		if err := c.subnet(words[1], network); err != nil {
			return err
		}
	}
	return c.block(network, depth)
}

func (c *configReader) network(name token, depth int) error {
	text := string(name.text)
	if name.kind == quoted {
		octets, err := name.octets()
		if err != nil {
			return c.fail(name, ErrString, "shared-network")
		}
		text = string(octets)
	}
	l := binding.Link{Label: "shared-network " + text}
	if err := c.block(&l, depth); err != nil {
		return err
	}
	if len(l.Prefixes) == 0 {
		return nil // of IPv4
	}
	return c.add(l, name)
}

func (c *configReader) subnet(t token, network *binding.Link) error {
	p, err := netip.ParsePrefix(string(t.text))
	if err != nil || !p.Addr().Is6() || p != p.Masked() {
		return c.fail(t, ErrMeaning, "subnet6")
	}
	if c.subnets[p] {
		return c.fail(t, ErrMeaning, "subnet6 for the second time")
	}
	c.subnets[p] = true
	if network != nil {
		network.Prefixes = append(network.Prefixes, p)
		return nil
	}
	return c.add(binding.Link{Label: "subnet " + p.String(), Prefixes: []netip.Prefix{p}}, t)
}

// add adds a link that can be stored.
func (c *configReader) add(l binding.Link, t token) error {
	if c.labels[l.Label] {
		return c.fail(t, ErrMeaning, "a name for the second time")
	}
	if err := l.Validate(); err != nil {
		return c.fail(t, fmt.Errorf("%w: %w", ErrMeaning, err), "")
	}
	c.labels[l.Label] = true
	c.links = append(c.links, l)
	return nil
}
