package leasequery

import (
	"context"
	"errors"
	"net/netip"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// State is the replicated state as this node knows it.
type State interface {
	// View is a view that holds everything that was acknowledged before the call. Its error means that the node cannot prove
	// that it is up to date, or is the context's.
	View(ctx context.Context) (binding.View, error)
	// Now is cluster time.
	Now() binding.Time
	// ServerDUID is the one DUID of the whole cluster; the caller does not change it.
	ServerDUID() []byte
}

// Transport is what a message came over. It also decides how long an answer's messages may be.
type Transport uint8

// The transports of leasequery.
const (
	TCP Transport = iota // bulk leasequery, RFC 5460
	UDP                  // RFC 5007
)

// Longest messages, in octets.
const (
	maxMessage  = 65535 // over TCP: the length in front has 16 bits (RFC 5460 5.1)
	maxDatagram = 65527 // over UDP: less the octets of the UDP header (RFC 8200 4.5, RFC 768)
)

// room is the longest message of the transport, in octets.
func (t Transport) room() int {
	if t == UDP {
		return maxDatagram
	}
	return maxMessage
}

// Request is a message that wants an answer.
type Request struct {
	Message   dhcpv6.Message // valid until Begin returns; nothing of it is kept
	Peer      netip.AddrPort // who sent it
	Requestor *Requestor     // its policy; nil sees everything and may ask everything
	Over      Transport
	Envelope  int // over UDP: octets of the relay messages that will stand around the answer, for which room is left
}

// ErrDiscard is wrapped by the error for a message that gets no answer at all.
var ErrDiscard = errors.New("message discarded")

// Why a message is discarded (RFC 5007 4.2.2, 4.4.1; RFC 8415 16).
const (
	DiscardNoClientID      = "no-client-id"
	DiscardLongClientID    = "client-id-too-long" // over 130 octets: no DUID (RFC 8415 11.1), and no room to copy it
	DiscardForeignServerID = "foreign-server-id"
	DiscardNoQuery         = "no-lq-query"
	DiscardType            = "message-type"
	DiscardNotFresh        = "not-up-to-date" // over UDP only: silence makes the requestor ask another server
)

// DiscardError says why a message gets no answer. It wraps ErrDiscard.
type DiscardError struct {
	Reason string // one of the Discard constants: a metric's label
	Err    error  // what is behind it, if anything
}

// Error is the reason, and what is behind it.
func (e *DiscardError) Error() string {
	if e.Err != nil {
		return ErrDiscard.Error() + ": " + e.Reason + ": " + e.Err.Error()
	}
	return ErrDiscard.Error() + ": " + e.Reason
}

// Unwrap is ErrDiscard and what is behind it.
func (e *DiscardError) Unwrap() []error {
	if e.Err != nil {
		return []error{ErrDiscard, e.Err}
	}
	return []error{ErrDiscard}
}
