package iscdhcp

import (
	"encoding/binary"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
)

// blockKinds are the blocks of leases.
var blockKinds = map[string]binding.Kind{"ia-na": binding.NA, "ia-ta": binding.TA, "ia-pd": binding.PD}

// passedOver are statements that the lease file may hold and that say nothing of DHCPv6 leases.
var passedOver = map[string]bool{
	"server-duid": true, "lease": true, "failover": true, "host": true, "group": true, "class": true, "subclass": true, "key": true,
	"zone": true, "option": true,
}

// statement is a statement's words and, if it has one, where its block is.
type statement struct {
	words []token
	block bool // it ended with "{": what follows up to the fitting "}" belongs to it
	close bool // it is the "}" of the block around it, or the record's end
}

func (s *statement) is(first string) bool { return len(s.words) > 0 && s.words[0].is(first) }

// recordParser reads the records of a lease file.
type recordParser struct {
	variables map[string]Variable
	order     binary.ByteOrder // of IAIDs

	in       tokens
	leases   []lease      // of the record
	problems []*lineError // in it
}

func newRecordParser(variables []Variable) *recordParser {
	p := &recordParser{variables: map[string]Variable{}, order: binary.NativeEndian}
	for _, v := range variables {
		p.variables[v.Name] = v
	}
	return p
}

// parse reads a record. What it says is in p.leases, and what is wrong with it in p.problems, until the next one is parsed.
func (p *recordParser) parse(r record) {
	p.in, p.leases, p.problems = tokens{text: r.text, line: r.start.line}, nil, nil
	if r.err != nil {
		p.problem(&lineError{line: r.start.line, err: r.err})
		return
	}
	s, ok := p.statement()
	switch first := s.words; {
	case !ok: // and reported
	case len(first) == 0:
		if s.block || s.close {
			p.problem(&lineError{line: r.start.line, err: ErrSyntax})
		}
	case first[0].is("authoring-byte-order"):
		p.byteOrder(s)
	case passedOver[string(first[0].text)]:
	case s.block && len(first) == 2 && first[0].kind == word:
		if kind, ok := blockKinds[string(first[0].text)]; ok {
			p.association(kind, first[1])
			return
		}
		fallthrough
	default:
		p.problem(wrong(first[0], ErrSyntax, ""))
	}
}

func (p *recordParser) problem(e *lineError) { p.problems = append(p.problems, e) }

// statement reads words up to a mark. A string that has no end is a problem, and ok is false.
func (p *recordParser) statement() (s statement, ok bool) {
	for {
		t, err := p.in.next()
		if err != nil {
			p.problem(&lineError{line: t.line, err: ErrString})
			return s, false
		}
		switch {
		case t.kind == end:
			s.close = true
			return s, true
		case t.kind == mark && t.text[0] == ';':
			return s, true
		case t.kind == mark && t.text[0] == '{':
			s.block = true
			return s, true
		case t.kind == mark && t.text[0] == '}':
			s.close = true
			return s, true
		default:
			s.words = append(s.words, t)
		}
	}
}

// skip passes over a block that was opened.
func (p *recordParser) skip() bool {
	for depth := 1; depth > 0; {
		s, ok := p.statement()
		switch {
		case !ok || s.close && p.in.at == len(p.in.text) && depth > 1:
			return false
		case s.block:
			depth++
		case s.close:
			depth--
		}
	}
	return true
}

func (p *recordParser) byteOrder(s statement) {
	switch {
	case len(s.words) == 2 && s.words[1].is("little-endian"):
		p.order = binary.LittleEndian
	case len(s.words) == 2 && s.words[1].is("big-endian"):
		p.order = binary.BigEndian
	default:
		p.problem(wrong(s.words[0], ErrSyntax, ""))
	}
}

// association reads a block of leases behind its "{".
func (p *recordParser) association(kind binding.Kind, key token) {
	iaid, duid, bad := p.client(key)
	if bad != nil {
		p.problem(bad)
		return
	}
	cltt, timed := int64(0), false
	for {
		s, ok := p.statement()
		switch {
		case !ok:
			p.leases = nil
			return
		case s.close:
			p.complete(key, cltt, timed)
			return
		case s.is("cltt") && len(s.words) > 1 && !s.block:
			if cltt, bad = parseTime(s.words[1:]); bad == nil && cltt == never {
				bad = wrong(s.words[1], ErrTime, "cltt")
			}
			if bad != nil {
				p.leases = nil
				p.problem(bad)
				return
			}
			timed = true
		case s.block && len(s.words) == 2 && (s.is("iaaddr") && kind != binding.PD || s.is("iaprefix") && kind == binding.PD):
			l := lease{kind: kind, iaid: iaid, duid: duid}
			if !p.address(&l, s.words[1]) {
				return
			}
		case s.block:
			p.problem(wrong(s.words0(key), ErrSyntax, ""))
			if !p.skip() {
				return
			}
		}
	}
}

// words0 is the statement's first word; or t when it has none.
func (s *statement) words0(t token) token {
	if len(s.words) > 0 {
		return s.words[0]
	}
	return t
}

// complete gives the leases what belongs to all of them.
func (p *recordParser) complete(key token, cltt int64, timed bool) {
	kept := p.leases[:0]
	for i := range p.leases {
		l := p.leases[i]
		switch {
		case timed:
			l.cltt = cltt
		case l.ends == never || l.valid == binding.Infinity:
			p.problem(wrong(key, ErrMissing, "cltt"))
			continue
		default:
			l.cltt = l.ends - int64(l.valid)
		}
		if l.transaction() < 0 {
			p.problem(wrong(key, ErrTime, "a lease from before 1970"))
			continue
		}
		kept = append(kept, l)
	}
	p.leases = kept
}

// client reads a block's key.
func (p *recordParser) client(key token) (iaid uint32, duid []byte, bad *lineError) {
	var octets []byte
	if key.kind == quoted {
		var err error
		if octets, err = key.octets(); err != nil {
			return 0, nil, wrong(key, ErrKey, "")
		}
	} else if o, ok := hexOctets(key.text); ok {
		octets = o
	}
	if len(octets) < 5 || len(octets)-4 > binding.MaxDUID {
		return 0, nil, wrong(key, ErrKey, "")
	}
	return p.order.Uint32(octets), octets[4:], nil
}

// address reads an iaaddr or iaprefix behind its "{". It is false when the rest of the block around it cannot be read.
func (p *recordParser) address(l *lease, text token) bool {
	var bad *lineError
	l.prefix, bad = leasePrefix(l.kind, text)
	r := lifetimes{ends: text, life: text}
	values := scope{}
	for {
		s, ok := p.statement()
		if !ok {
			p.leases = nil
			return false
		}
		if s.close {
			break
		}
		var e *lineError
		switch {
		case s.block:
			if !p.skip() {
				p.leases = nil
				p.problem(wrong(text, ErrTorn, ""))
				return false
			}
		case s.is("set"):
			values.take(p.variables, s.words[1:])
		default:
			e = r.take(l, s.words)
		}
		if bad == nil {
			bad = e
		}
	}
	if bad == nil {
		bad = r.missing()
	}
	if bad != nil {
		p.problem(bad)
		return true
	}
	l.name = values.name
	var err *lineError
	if l.relays, err = values.relays(text); err != nil {
		p.problem(err)
	}
	p.leases = append(p.leases, *l)
	return true
}

// lifetimes reads the statements of an address that are not its scope.
type lifetimes struct {
	ends, life                 token
	hasStatus, hasLife, hasEnd bool
}

func (r *lifetimes) take(l *lease, words []token) (bad *lineError) {
	switch {
	case len(words) == 3 && words[0].is("binding") && words[1].is("state"):
		var ok bool
		if l.status, ok = statuses[string(words[2].text)]; !ok {
			return wrong(words[2], ErrSyntax, "binding state")
		}
		r.hasStatus = true
	case len(words) == 2 && words[0].is("preferred-life"):
		l.preferred, bad = parseUint32(words[1])
	case len(words) == 2 && words[0].is("max-life"):
		l.valid, bad = parseUint32(words[1])
		r.hasLife = true
	case len(words) > 1 && words[0].is("ends"):
		l.ends, bad = parseTime(words[1:])
		r.hasEnd = true
	case len(words) > 0 && (words[0].is("binding") || words[0].is("preferred-life") || words[0].is("max-life") || words[0].is("ends")):
		return wrong(words[0], ErrSyntax, "")
	}
	return bad
}

func (r *lifetimes) missing() *lineError {
	switch {
	case !r.hasStatus:
		return wrong(r.ends, ErrMissing, "binding state")
	case !r.hasLife:
		return wrong(r.life, ErrMissing, "max-life")
	case !r.hasEnd:
		return wrong(r.ends, ErrMissing, "ends")
	}
	return nil
}

// leasePrefix reads an address, or a prefix with its length.
func leasePrefix(kind binding.Kind, t token) (netip.Prefix, *lineError) {
	var p netip.Prefix
	var err error
	if kind == binding.PD {
		p, err = netip.ParsePrefix(string(t.text))
	} else {
		var a netip.Addr
		if a, err = netip.ParseAddr(string(t.text)); err == nil && a.Zone() == "" {
			p = netip.PrefixFrom(a, a.BitLen())
		}
	}
	if err != nil || !p.IsValid() || !usable(p.Addr()) || p.Masked() != p {
		return netip.Prefix{}, wrong(t, ErrAddress, "")
	}
	return p, nil
}

// usable tells whether an address can be leased.
func usable(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && !a.IsLoopback()
}
