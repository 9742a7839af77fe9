package kea

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"

	"github.com/leasehold/leasehold/fsm/binding"
)

// ErrMissing tells that a lease in JSON lacks a member that no lease can do without.
var ErrMissing = errors.New("missing")

// The numbers of a lease in JSON.
const (
	numCLTT = iota
	numExpire
	numIAID
	numPreferred
	numPrefixLen
	numState
	numSubnet
	numValid
	numberCount
)

// leaseNumbers are their names, and how large each may be.
var leaseNumbers = [numberCount]struct {
	name string
	most uint64
}{
	numCLTT: {"cltt", math.MaxUint32}, numExpire: {"expire", maxExpire}, numIAID: {"iaid", math.MaxUint32},
	numPreferred: {"preferred-lft", math.MaxUint32}, numPrefixLen: {"prefix-len", 128}, numState: {"state", stateRegistered},
	numSubnet: {"subnet-id", math.MaxUint32}, numValid: {"valid-lft", math.MaxUint32},
}

// leaseJSON reads one lease as Kea's commands write it:
//
//	{"cltt": 1795424333, "duid": "00:03:…", "fqdn-fwd": false, "fqdn-rev": false, "hostname": "", "hw-address": "02:00:…", "iaid": 7,
//	 "ip-address": "2001:db8::1", "preferred-lft": 3600, "state": 0, "subnet-id": 1, "type": "IA_NA", "user-context": {…}, "valid-lft": 7200}
//
// A prefix is of type IA_PD and has prefix-len. lease6-bulk-apply has expire (cltt + valid-lft) in place of cltt. hw-address is not
// looked at (see the package's comment), and neither is a member that is not known. Members that a script may leave out, as with
// lease6-add: type (IA_NA), state (0), subnet-id, hostname, fqdn-fwd and fqdn-rev.
type leaseJSON struct {
	json    reader
	values  [numberCount]uint64
	seen    [numberCount]bool
	address []byte
	duid    []byte
	context []byte // JSON
	row     row
}

// parseLease reads a lease from JSON. The row owns its octets. The error is a *fieldError; into is then as it was.
//
// As in the lease file, only what is needed to end a lease is looked at when it is not in force, and relay data that cannot be used
// is no error, but the row's relaysFail.
func parseLease(text []byte, into *row) error {
	l := leaseJSON{json: reader{src: text, octets: true}}
	err := l.json.object(l.member)
	if err == nil {
		err = l.json.end()
	}
	if err == nil {
		err = l.finish()
	}
	if err == nil {
		*into = l.row
		return nil
	}
	var field *fieldError
	if !errors.As(err, &field) {
		return &fieldError{"", err}
	}
	return field
}

// member takes a member's value.
func (l *leaseJSON) member(key []byte) error {
	var err error
	switch string(key) {
	case "duid":
		l.duid, err = l.text("duid")
	case "hostname":
		l.row.hostname, err = l.text("hostname")
	case "ip-address":
		l.address, err = l.text("ip-address")
	case "type":
		err = l.kind()
	case "fqdn-fwd":
		l.row.fqdnFwd, err = l.boolean("fqdn-fwd")
	case "fqdn-rev":
		l.row.fqdnRev, err = l.boolean("fqdn-rev")
	case "user-context":
		l.json.next()
		start := l.json.pos
		err = l.json.skip()
		l.context = l.json.src[start:l.json.pos]
	default:
		err = l.number(key)
	}
	return err
}

// text takes a string, and copies it.
func (l *leaseJSON) text(field string) ([]byte, error) {
	s, err := l.json.string()
	if err != nil {
		return nil, &fieldError{field, err}
	}
	return bytes.Clone(s), nil
}

func (l *leaseJSON) boolean(field string) (bool, error) {
	v, err := l.json.boolean()
	if err != nil {
		return false, &fieldError{field, err}
	}
	return v, nil
}

func (l *leaseJSON) kind() error {
	text, err := l.text("type")
	if err != nil {
		return err
	}
	switch string(text) {
	case "IA_NA":
		l.row.kind = binding.NA
	case "IA_TA":
		l.row.kind = binding.TA
	case "IA_PD":
		l.row.kind = binding.PD
	default:
		return wrong("type", errors.New("neither IA_NA, IA_TA nor IA_PD"), text)
	}
	return nil
}

// number takes one of the numbers, or passes over a member of any other name.
func (l *leaseJSON) number(key []byte) error {
	for i := range leaseNumbers {
		n := &leaseNumbers[i]
		if n.name != string(key) {
			continue
		}
		v, err := l.json.unsigned(n.most)
		if err != nil {
			return &fieldError{n.name, fmt.Errorf("%w 0 to %d: %w", ErrNumber, n.most, err)}
		}
		l.values[i], l.seen[i] = v, true
		return nil
	}
	return l.json.skip()
}

// finish makes the row of the members.
func (l *leaseJSON) finish() error {
	for _, i := range []int{numValid, numIAID} {
		if !l.seen[i] {
			return &fieldError{leaseNumbers[i].name, ErrMissing}
		}
	}
	r := &l.row
	r.valid, r.preferred, r.iaid = uint32(l.values[numValid]), uint32(l.values[numPreferred]), uint32(l.values[numIAID])
	r.state = uint8(l.values[numState])
	switch {
	case l.seen[numExpire]:
		r.expire = int64(l.values[numExpire])
	case l.seen[numCLTT]:
		r.expire = int64(l.values[numCLTT]) + int64(r.valid)
	default:
		return &fieldError{"cltt", fmt.Errorf("%w, and so is expire", ErrMissing)}
	}
	if l.seen[numSubnet] {
		r.subnet = strconv.AppendUint(nil, l.values[numSubnet], 10)
	}
	if r.kind == binding.PD && !l.seen[numPrefixLen] {
		return &fieldError{"prefix-len", ErrMissing}
	}
	var err error
	if r.prefix, err = leasePrefix(l.address, r.kind, int(l.values[numPrefixLen]), "ip-address", "prefix-len"); err != nil {
		return err
	}
	return l.client()
}

// client reads whose the lease is, and of a lease in force what came with it.
func (l *leaseJSON) client() error {
	r := &l.row
	var ok bool
	if r.duid, ok = appendDUID(nil, l.duid); !ok || len(r.duid) > binding.MaxDUID {
		return wrong("duid", fmt.Errorf("%w of 1 to %d octets in hex", ErrDUID, binding.MaxDUID), l.duid)
	}
	if noDUID(r.duid) {
		r.duid = nil
	}
	if !r.leased() {
		r.hostname = nil
		return nil
	}
	switch {
	case len(r.duid) == 0:
		return wrong("duid", fmt.Errorf("%w: a lease without client", ErrDUID), l.duid)
	case !l.seen[numPreferred]:
		return &fieldError{"preferred-lft", ErrMissing}
	case r.transaction() < 0 || r.transaction() > math.MaxUint32:
		return &fieldError{"expire", fmt.Errorf("%w: %d, with the valid lifetime %d", ErrNumber, r.expire, r.valid)}
	case l.context == nil:
		return nil
	}
	var context userContext
	if err := context.read(l.context); err != nil {
		return &fieldError{"user-context", err}
	}
	r.relays, r.relaysFail = context.relays, context.problem
	return nil
}

// leasePrefix is what an address, or a prefix of so many bits, is bound as. The error is a *fieldError that names one of the fields.
func leasePrefix(text []byte, kind binding.Kind, bits int, addressField, bitsField string) (netip.Prefix, error) {
	a, ok := parseAddr(text)
	if !ok || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() {
		return netip.Prefix{}, wrong(addressField, ErrAddress, text)
	}
	if kind != binding.PD {
		bits = a.BitLen()
	}
	p := netip.PrefixFrom(a, bits)
	if p.Masked() != p {
		return netip.Prefix{}, wrong(bitsField, ErrHostBits, fmt.Appendf(nil, "%v", p))
	}
	return p, nil
}
