package kea

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
)

// The states of a lease in the file. State 3 and 4 exist since Kea 3.0.
const (
	stateDefault = iota
	stateDeclined
	stateReclaimed
	stateReleased
	stateRegistered
)

// row is what one line says. Its slices hold until the next line is parsed.
type row struct {
	prefix     netip.Prefix // /128 for an address
	kind       binding.Kind
	duid       []byte // empty for a declined lease
	iaid       uint32
	valid      uint32
	preferred  uint32
	expire     int64  // seconds since 1970, at most maxExpire
	subnet     []byte // the subnet's id, as text
	state      uint8
	fqdnFwd    bool
	fqdnRev    bool
	hostname   []byte // unescaped
	relays     []relay
	relaysFail error // why the relay data of a lease in force cannot be used
}

// maxExpire bounds when leases run out, so that arithmetic with times cannot overflow. The last transaction of a lease in force has
// the cluster's 32 bits of seconds, and so has its lifetime.
const maxExpire = 2 * math.MaxUint32

// transaction is when the client last spoke to Kea, in seconds since 1970.
func (r *row) transaction() int64 { return r.expire - int64(r.valid) }

// leased tells whether the row is of a lease that is in force until it runs out.
func (r *row) leased() bool { return r.state == stateDefault && r.valid > 0 }

// runsOut is when that is; ok is false when it never does.
func (r *row) runsOut() (seconds int64, ok bool) { return r.expire, r.valid != binding.Infinity }

// parser turns lines of one file into rows, without allocating once its buffers have grown.
type parser struct {
	columns columns
	fields  [maxColumns][]byte
	row     row
	context userContext
}

// field is a column's octets; empty when the file does not have it.
func (p *parser) field(c column) []byte {
	if at := p.columns.at[c]; at >= 0 {
		return p.fields[at]
	}
	return nil
}

// split cuts a line at its commas. Kea quotes nothing and escapes the commas in its texts.
func (p *parser) split(line []byte) error {
	n := 0
	for rest, more := line, true; more; n++ {
		if n == p.columns.count {
			return &fieldError{"", fmt.Errorf("%w: %d, want %d", ErrColumns, n+1+bytes.Count(rest, []byte{','}), n)}
		}
		var field []byte
		field, rest, more = bytes.Cut(rest, []byte{','})
		p.fields[n] = field
	}
	if n != p.columns.count {
		return &fieldError{"", fmt.Errorf("%w: %d, want %d", ErrColumns, n, p.columns.count)}
	}
	return nil
}

// parse reads a line into p.row. The error is a *fieldError. Of a line that is not of a lease in force only what is needed to end
// the address's lease is looked at.
func (p *parser) parse(line []byte) error {
	if err := p.split(line); err != nil {
		return err
	}
	p.row = row{duid: p.row.duid[:0], hostname: p.row.hostname[:0]}
	r := &p.row
	numbers := [...]struct {
		column column
		most   uint64
		value  uint64
	}{
		{colValid, math.MaxUint32, 0}, {colExpire, maxExpire, 0}, {colSubnet, math.MaxUint32, 0}, {colPreferred, math.MaxUint32, 0},
		{colType, uint64(binding.PD), 0}, {colIAID, math.MaxUint32, 0}, {colPrefixLen, 128, 0}, {colForward, 1, 0}, {colReverse, 1, 0},
		{colState, stateRegistered, 0},
	}
	for i := range numbers {
		n := &numbers[i]
		text := p.field(n.column)
		if n.column == colState && len(text) == 0 {
			continue // schemas before 3.0 have no states
		}
		var ok bool
		if n.value, ok = parseUint(text, n.most); !ok {
			return wrong(columnNames[n.column], fmt.Errorf("%w 0 to %d", ErrNumber, n.most), text)
		}
	}
	r.valid, r.expire, r.subnet, r.preferred = uint32(numbers[0].value), int64(numbers[1].value), p.field(colSubnet), uint32(numbers[3].value)
	r.kind, r.iaid = binding.Kind(numbers[4].value), uint32(numbers[5].value)
	r.fqdnFwd, r.fqdnRev, r.state = numbers[7].value == 1, numbers[8].value == 1, uint8(numbers[9].value)
	if err := p.parsePrefix(int(numbers[6].value)); err != nil {
		return err
	}
	return p.parseClient()
}

func (p *parser) parsePrefix(bits int) (err error) {
	p.row.prefix, err = leasePrefix(p.field(colAddress), p.row.kind, bits, "address", "prefix_len")
	return err
}

// parseClient reads what only a lease in force needs: whose it is, its name and its relays.
func (p *parser) parseClient() error {
	r := &p.row
	text := p.field(colDUID)
	var ok bool
	if r.duid, ok = appendDUID(r.duid, text); !ok || len(r.duid) > binding.MaxDUID {
		return wrong("duid", fmt.Errorf("%w of 1 to %d octets in hex", ErrDUID, binding.MaxDUID), text)
	}
	if noDUID(r.duid) {
		r.duid = r.duid[:0]
	}
	if !r.leased() {
		return nil
	}
	if len(r.duid) == 0 {
		return wrong("duid", fmt.Errorf("%w: a lease without client", ErrDUID), text)
	}
	if at := r.transaction(); at < 0 || at > math.MaxUint32 {
		return wrong("expire", fmt.Errorf("%w: the last transaction would be %d seconds after 1970", ErrNumber, at), p.field(colExpire))
	}
	var err error
	if r.hostname, err = appendUnescaped(r.hostname, p.field(colHostname)); err != nil {
		return wrong("hostname", err, p.field(colHostname))
	}
	if err := p.context.parse(p.field(colContext)); err != nil {
		return &fieldError{"user_context", err}
	}
	r.relays, r.relaysFail = p.context.relays, p.context.problem
	return nil
}

// noDUID tells whether these octets stand for no DUID: Kea writes 00 (2.2) or 00:00:00 (since 2.4) for a declined lease.
func noDUID(duid []byte) bool {
	return len(duid) == 0 || (len(duid) == 1 && duid[0] == 0) || (len(duid) == 3 && duid[0]|duid[1]|duid[2] == 0)
}

// address reads only a line's address: where superseding lines meet.
func (p *parser) address(line []byte) (netip.Addr, bool) {
	rest := line
	for range p.columns.at[colAddress] {
		_, rest, _ = bytes.Cut(rest, []byte{','})
	}
	field, _, _ := bytes.Cut(rest, []byte{','})
	return parseAddr(field)
}

// parseUint reads a decimal number from 0 to most, digits only.
func parseUint(text []byte, most uint64) (v uint64, ok bool) {
	if len(text) == 0 || len(text) > 20 {
		return 0, false
	}
	for _, c := range text {
		d := uint64(c - '0')
		if d > 9 || v > (math.MaxUint64-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	return v, v <= most
}

// parseAddr reads an IPv6 address without zone.
func parseAddr(text []byte) (netip.Addr, bool) {
	if len(text) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(string(text))
	return a, err == nil && a.Is6() && a.Zone() == ""
}
