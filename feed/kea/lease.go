package kea

import (
	"errors"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// change is one message that is filled anew for each lease.
type change struct {
	message ingestv1.Change
	lease   ingestv1.Lease
	levels  []*ingestv1.RelayLevel
	octets  []byte // of addresses
	options []byte
}

func newChange() *change {
	c := new(change)
	c.message.Change = &ingestv1.Change_Upsert{Upsert: &c.lease}
	return c
}

// fill states the lease of a row: shift is added to its times, in seconds; now is in milliseconds since 1970. The error says why
// the lease goes without OPTION_CLIENT_FQDN; c is filled all the same. c aliases the row.
func (c *change) fill(r *row, shift, now int64) error {
	transaction := r.transaction() + shift
	l := &c.lease
	c.octets = c.octets[:0]
	l.Kind = ingestv1.Kind(r.kind)
	l.Address = c.address(r.prefix.Addr().As16())
	l.PrefixLength = uint32(r.prefix.Bits())
	l.Duid, l.Iaid = r.duid, r.iaid
	l.Preferred, l.Valid = r.preferred, r.valid
	l.AgeMs = now - transaction*1000
	l.Stamp = uint32(transaction)
	if l.LinkName != string(r.subnet) { // neighbouring leases mostly share a subnet, and the string
		l.LinkName = string(r.subnet)
	}
	for len(c.levels) < len(r.relays) {
		c.levels = append(c.levels, new(ingestv1.RelayLevel))
	}
	l.Relays = c.levels[:len(r.relays)]
	for i := range r.relays {
		level := l.Relays[i]
		level.HopCount = uint32(r.relays[i].hop)
		level.LinkAddress = c.address(r.relays[i].link.As16())
		level.PeerAddress = c.address(r.relays[i].peer.As16())
		level.Options = r.relays[i].options
	}
	var err error
	c.options, err = appendFQDN(c.options[:0], r)
	l.Options = c.options
	return err
}

func (c *change) address(a [16]byte) []byte {
	c.octets = append(c.octets, a[:]...)
	return c.octets[len(c.octets)-16:]
}

// appendFQDN appends OPTION_CLIENT_FQDN as Kea answered it; nothing when there is no name.
func appendFQDN(dst []byte, r *row) ([]byte, error) {
	if len(r.hostname) == 0 {
		return dst, nil
	}
	var flags uint8
	switch {
	case r.fqdnFwd:
		flags = dhcpv6.FQDNServerUpdates
	case !r.fqdnRev:
		flags = dhcpv6.FQDNNoUpdates
	}
	f, err := dhcpv6.NewClientFQDN(flags, string(r.hostname))
	if err != nil {
		return dst, err
	}
	return f.AppendBinary(dst)
}

// lineProblem gives a fieldError its place.
func lineProblem(err error, file string, line int, kept bool) *LineError {
	var f *fieldError
	if errors.As(err, &f) {
		return &LineError{File: file, Line: line, Field: f.field, Kept: kept, Err: f.err}
	}
	return &LineError{File: file, Line: line, Kept: kept, Err: err}
}
