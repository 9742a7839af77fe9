package binding

import "fmt"

// Event is what a change does.
type Event uint8

// The events that a source reports.
const (
	Upsert     Event = iota + 1 // the client has the binding, as given
	End                         // the client no longer has it
	DefineLink                  // the source's configuration has this link, as given
	RemoveLink                  // the source's configuration no longer has the link with this label
)

// String is the event in lower case.
func (e Event) String() string {
	switch e {
	case Upsert:
		return "upsert"
	case End:
		return "end"
	case DefineLink:
		return "define-link"
	case RemoveLink:
		return "remove-link"
	}
	return fmt.Sprintf("Event(%d)", uint8(e))
}

// Change is one piece of a source's news.
//
// Upsert reads the whole Binding. End reads Kind, Prefix, LastTransaction (when it ended) and, to match, DUID and IAID: it
// ends the binding only if both are equal, except that an End without DUID ends whoever has the key (Kea blanks the DUID of
// a declined lease). Reason tells why it ended. DefineLink reads Link; RemoveLink reads Link.Label.
type Change struct {
	Event   Event
	Reason  State // of an End: Expired, Released, Declined or Deleted
	Binding Binding
	Link    *Link
}

// Validate tells why c may not be proposed: an error that wraps ErrInvalid and names the field, or nil.
func (c *Change) Validate() error {
	switch c.Event {
	case Upsert:
		return c.Binding.Validate()
	case End:
		if c.Reason != Expired && c.Reason != Released && c.Reason != Declined && c.Reason != Deleted {
			return fmt.Errorf("%w: a source may not report the end %v", ErrInvalid, c.Reason)
		}
		if len(c.Binding.DUID) > MaxDUID {
			return fmt.Errorf("%w: duid of %d octets, want at most %d", ErrInvalid, len(c.Binding.DUID), MaxDUID)
		}
		return validateKey(c.Binding.Kind, c.Binding.Prefix)
	case DefineLink:
		if c.Link == nil {
			return fmt.Errorf("%w: define-link without link", ErrInvalid)
		}
		return c.Link.Validate()
	case RemoveLink:
		if c.Link == nil || c.Link.Label == "" || len(c.Link.Label) > MaxLinkName {
			return fmt.Errorf("%w: remove-link without a label", ErrInvalid)
		}
		return nil
	}
	return fmt.Errorf("%w: event %d", ErrInvalid, uint8(c.Event))
}
