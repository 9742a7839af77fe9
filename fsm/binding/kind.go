package binding

import "fmt"

// Kind tells what sort of identity association a binding belongs to. The order of its values is the order in an answer.
type Kind uint8

// The kinds of binding.
const (
	NA Kind = iota // IA_NA, a non-temporary address (RFC 8415 21.4)
	TA             // IA_TA, a temporary address (RFC 8415 21.5; gone in RFC 9915)
	PD             // IA_PD, a delegated prefix (RFC 8415 21.21)
)

// String is the name of the kind as in the RFCs: IA_NA, IA_TA or IA_PD.
func (k Kind) String() string {
	switch k {
	case NA:
		return "IA_NA"
	case TA:
		return "IA_TA"
	case PD:
		return "IA_PD"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// State tells whether a binding is in force and, if it is not, why it ended.
type State uint8

// The states of a binding. All but Active are ends, kept for a while as history for active leasequery (RFC 7653).
const (
	Active     State = iota // in force: the only state that a plain query shows
	Expired                 // its valid lifetime has run out
	Released                // the client gave it back (RFC 8415 18.2.7)
	Declined                // the client found it in use (RFC 8415 18.2.8)
	Deleted                 // an operator, or the source for another reason, removed it
	Reassigned              // another client has it now
	Swept                   // a full resync of its source no longer had it
	Moved                   // the client still has it, on another link or behind another relay chain
)

var stateNames = [...]string{"active", "expired", "released", "declined", "deleted", "reassigned", "swept", "moved"}

// String is the state in lower case.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}
