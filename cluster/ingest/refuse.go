package ingest

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/leasehold/leasehold/fsm/binding"
)

// What the ErrorInfo of a refused change says.
const (
	reasonInvalidChange = "INVALID_CHANGE"
	errorDomain         = "leasehold"
)

// changeError is why a change may not be stored.
type changeError struct {
	change int    // index in its batch, from 0
	field  string // of message Change, as in proto/ingest/v1
	err    error  // wraps binding.ErrInvalid
}

// Error names the change, the field and the reason.
func (e *changeError) Error() string {
	return fmt.Sprintf("change %d: %s: %v", e.change, e.field, e.err)
}

// Unwrap is the reason.
func (e *changeError) Unwrap() error { return e.err }

// wrong is a changeError whose change is yet to be filled in.
func wrong(field, format string, args ...any) *changeError {
	return &changeError{field: field, err: fmt.Errorf("%w: "+format, append([]any{binding.ErrInvalid}, args...)...)}
}

// refusal is INVALID_ARGUMENT that names the batch and, in words and as ErrorInfo, change and field, so that the feeder can take
// the change out and go on.
func refusal(sequence uint64, err error) error {
	s := status.New(codes.InvalidArgument, fmt.Sprintf("batch %d: %v", sequence, err))
	info := &errdetails.ErrorInfo{Reason: reasonInvalidChange, Domain: errorDomain,
		Metadata: map[string]string{"sequence": strconv.FormatUint(sequence, 10)}}
	var c *changeError
	if errors.As(err, &c) {
		info.Metadata["change"], info.Metadata["field"] = strconv.Itoa(c.change), c.field
	}
	if d, errDetails := s.WithDetails(info); errDetails == nil {
		s = d
	}
	return s.Err()
}

// culprit finds the field because of which a change is not valid: the first with which a sound binding is not sound any more.
func culprit(c *binding.Change) string {
	switch c.Event {
	case binding.DefineLink:
		return "define_link"
	case binding.RemoveLink:
		return "remove_link"
	}
	b := &c.Binding
	sound := binding.Binding{Kind: b.Kind, Prefix: b.Prefix, DUID: []byte{0}, Valid: 1}
	if sound.Validate() != nil {
		return "address"
	}
	if c.Event == binding.Upsert || len(b.DUID) > 0 {
		sound.DUID = b.DUID
	}
	if sound.Validate() != nil {
		return "duid"
	}
	if c.Event == binding.End {
		return "reason"
	}
	if sound.Valid = b.Valid; sound.Validate() != nil {
		return "valid"
	}
	if sound.LinkName = b.LinkName; sound.Validate() != nil {
		return "link_name"
	}
	if sound.Options = b.Options; sound.Validate() != nil {
		return "options"
	}
	return "relays"
}

// parseAddress reads an address that may be absent, which is ::.
func parseAddress(field string, octets []byte) (netip.Addr, *changeError) {
	if len(octets) == 0 {
		return netip.IPv6Unspecified(), nil
	}
	if len(octets) != 16 {
		return netip.Addr{}, wrong(field, "%d octets, want 16", len(octets))
	}
	return netip.AddrFrom16([16]byte(octets)), nil
}
