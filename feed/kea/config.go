package kea

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/leasehold/leasehold/fsm/binding"
)

// ErrMeaning is wrapped when a configuration is well-formed and means nothing: a subnet without prefix, two of one id.
var ErrMeaning = errors.New("not a usable configuration")

type link = binding.Link

// Warning tells of a part of a configuration that is passed over.
type Warning struct {
	Place  Place
	Reason string
}

// ReadConfig reads the links that a Kea configuration file describes. A shared network is one link of the prefixes of all its
// subnets, labelled "shared-network NAME"; any other subnet is one, labelled "subnet ID". A link's names are its subnets' ids, by
// which leases refer to it, and its relays the addresses under relay, of the network and of its subnets. Pools are ranges within
// the prefixes; delegated prefixes (pd-pools) are not on the link and so are none of its prefixes. Everything else is passed
// over. The error is a *ConfigError, or that of opening the file.
//
// A subnet without id, which Kea before 3.0 numbers itself, gives a link without that name, and a Warning. A link that the cluster
// does not take, because it is larger than a link may be, is left out, with a Warning.
func ReadConfig(path string) ([]binding.Link, []Warning, error) {
	text, err := openConfig(path)
	if err != nil {
		return nil, nil, err
	}
	return readLinks(text)
}

// openConfig reads a configuration file and what it includes.
func openConfig(path string) (*flat, error) {
	source, err := readConfigFile(path)
	if err != nil {
		return nil, fmt.Errorf("read Kea's configuration: %w", err)
	}
	return flatten(path, source)
}

// readLinks is ReadConfig of the text.
func readLinks(text *flat) ([]binding.Link, []Warning, error) {
	c := &configReader{flat: text, json: reader{src: text.text, trailing: true, octets: true}, ids: map[uint32]int{}, labels: map[string]int{}}
	if err := c.read(); err != nil {
		offset := c.json.pos
		var syntax *syntaxError
		if errors.As(err, &syntax) {
			offset, err = syntax.offset, syntax.err
		}
		return nil, nil, &ConfigError{text.place(offset), err}
	}
	return c.links, c.warnings, nil
}

// configReader walks over a configuration.
type configReader struct {
	flat     *flat
	json     reader
	links    []binding.Link
	warnings []Warning
	ids      map[uint32]int // offset of the subnet that has an id
	labels   map[string]int // offset of the link that has a label
}

// subnet is a subnet's part of a link.
type subnet struct {
	prefix netip.Prefix
	id     uint32 // 0: none given
	relays []netip.Addr
}

func (c *configReader) failAt(offset int, format string, args ...any) error {
	return &syntaxError{offset, fmt.Errorf("%w: "+format, append([]any{ErrMeaning}, args...)...)}
}

// maxWarnings bounds the warnings of a configuration of many like subnets.
const maxWarnings = 100

func (c *configReader) warn(offset int, format string, args ...any) {
	if len(c.warnings) == maxWarnings {
		return
	}
	c.warnings = append(c.warnings, Warning{c.flat.place(offset), fmt.Sprintf(format, args...)})
}

func (c *configReader) read() error {
	found := false
	err := c.json.object(func(key []byte) error {
		if string(key) != "Dhcp6" {
			return c.json.skip()
		}
		found = true
		return c.json.object(c.dhcp6)
	})
	if err != nil {
		return err
	}
	if err := c.json.end(); err != nil {
		return err
	}
	if !found {
		return c.failAt(0, "no Dhcp6: this is no configuration of Kea's DHCPv6 server")
	}
	return nil
}

func (c *configReader) dhcp6(key []byte) error {
	switch string(key) {
	case "subnet6":
		return c.json.array(func() error {
			c.json.next()
			at := c.json.pos
			s, err := c.subnet()
			if err != nil {
				return err
			}
			label := "subnet " + s.prefix.String()
			if s.id != 0 {
				label = "subnet " + strconv.FormatUint(uint64(s.id), 10)
			}
			return c.define(at, label, s.relays, []subnet{s})
		})
	case "shared-networks":
		return c.json.array(c.sharedNetwork)
	}
	return c.json.skip()
}

func (c *configReader) sharedNetwork() error {
	c.json.next()
	at := c.json.pos
	var name string
	var relays []netip.Addr
	var subnets []subnet
	err := c.json.object(func(key []byte) (err error) {
		switch string(key) {
		case "name":
			var text []byte
			text, err = c.json.string()
			name = readable(text)
		case "relay":
			relays, err = c.relay()
		case "subnet6":
			err = c.json.array(func() error {
				s, err := c.subnet()
				subnets = append(subnets, s)
				return err
			})
		default:
			err = c.json.skip()
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case name == "":
		return c.failAt(at, "a shared network without name")
	case len(subnets) == 0:
		c.warn(at, "shared network %q has no subnet", name)
		return nil
	}
	for _, s := range subnets {
		relays = append(relays, s.relays...)
	}
	return c.define(at, "shared-network "+name, relays, subnets)
}

// readable is a name in UTF-8. Kea takes names as they are, of any octets: others are of ISO 8859-1, mostly.
func readable(name []byte) string {
	if utf8.Valid(name) {
		return string(name)
	}
	runes := make([]rune, len(name))
	for i, c := range name {
		runes[i] = rune(c)
	}
	return string(runes)
}

// subnet takes one element of subnet6.
func (c *configReader) subnet() (subnet, error) {
	c.json.next()
	at := c.json.pos
	var s subnet
	err := c.json.object(func(key []byte) (err error) {
		switch string(key) {
		case "id":
			s.id, err = c.id()
		case "subnet":
			s.prefix, err = c.prefix()
		case "relay":
			s.relays, err = c.relay()
		default:
			err = c.json.skip()
		}
		return err
	})
	switch {
	case err != nil:
		return s, err
	case !s.prefix.IsValid():
		return s, c.failAt(at, "a subnet without its prefix, the key subnet")
	case s.id == 0:
		c.warn(at, "subnet %v has no id: leases cannot refer to its link by it", s.prefix)
		return s, nil
	}
	if other, used := c.ids[s.id]; used {
		return s, c.failAt(at, "subnet id %d is also that of the subnet at %v", s.id, c.flat.place(other))
	}
	c.ids[s.id] = at
	return s, nil
}

func (c *configReader) id() (uint32, error) {
	v, err := c.json.unsigned(1<<32 - 2) // 4294967295 is Kea's own for "unused"
	return uint32(v), err
}

func (c *configReader) prefix() (netip.Prefix, error) {
	c.json.next()
	at := c.json.pos
	text, err := c.json.string()
	if err != nil {
		return netip.Prefix{}, err
	}
	p, err := netip.ParsePrefix(string(text))
	if err != nil {
		return netip.Prefix{}, c.failAt(at, "subnet: %w", err)
	}
	if !p.Addr().Is6() || p.Addr().Is4In6() {
		return netip.Prefix{}, c.failAt(at, "subnet %v is not IPv6", p)
	}
	return p.Masked(), nil
}

// relay takes the value of relay: {"ip-addresses": ["2001:db8::1"]}; before Kea 1.4 ip-address, of one.
func (c *configReader) relay() (relays []netip.Addr, err error) {
	one := func() error {
		c.json.next()
		at := c.json.pos
		text, err := c.json.string()
		if err != nil {
			return err
		}
		a, ok := parseAddr(text)
		switch {
		case !ok:
			return c.failAt(at, "relay address %q is not IPv6", clip(text))
		case a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Is4In6():
			c.warn(at, "relay address %v is not global: no relay can give it as link-address", a)
		default:
			relays = append(relays, a)
		}
		return nil
	}
	err = c.json.object(func(key []byte) error {
		switch string(key) {
		case "ip-addresses":
			return c.json.array(one)
		case "ip-address":
			return one()
		}
		return c.json.skip()
	})
	return relays, err
}

// define adds a link.
func (c *configReader) define(at int, label string, relays []netip.Addr, subnets []subnet) error {
	if other, used := c.labels[label]; used {
		return c.failAt(at, "%s is also at %v", label, c.flat.place(other))
	}
	c.labels[label] = at
	l := binding.Link{Label: label}
	for _, s := range subnets {
		l.Prefixes = append(l.Prefixes, s.prefix)
		if s.id != 0 {
			l.Names = append(l.Names, strconv.FormatUint(uint64(s.id), 10))
		}
	}
	slices.SortFunc(l.Prefixes, netip.Prefix.Compare)
	l.Prefixes = slices.Compact(l.Prefixes)
	l.Relays = slices.Clone(relays)
	slices.SortFunc(l.Relays, netip.Addr.Compare)
	l.Relays = slices.Compact(l.Relays)
	if err := l.Validate(); err != nil {
		c.warn(at, "%s is left out: %v", label, err)
		return nil
	}
	c.links = append(c.links, l)
	return nil
}
