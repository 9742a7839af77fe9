package binding

import "fmt"

// Age compares a piece of news with what is known of the same key, by last transaction time (RFC 5007 4.3.4).
type Age uint8

// What news can be, beside what is known.
const (
	Older Age = iota
	Equal
	Newer
)

// CompareAge tells whether news of the transaction time t is older than, equal to or newer than what is known of the time known.
func CompareAge(t, known Time) Age {
	switch {
	case t < known:
		return Older
	case t > known:
		return Newer
	}
	return Equal
}

// News is everything that decides whether a change takes effect.
type News struct {
	Event      Event // Upsert or End
	SameSource bool  // whether the source that owns what is known reports it
	Age        Age   // by last transaction time
	Ended      bool  // whether what is known is an end rather than a binding in force
	Swept      bool  // whether it is an end because the owner's full statement no longer had it
	Higher     bool  // whether the reporting source's name sorts after the owner's: settles a tie between sources
}

// Wins is the conflict table: whether news of a key takes effect over what is known of it.
//
//	               same source   another source, by age of its news
//	                             older    equal                          newer
//	upsert / live  takes effect  ignored  the higher source name wins    takes effect
//	upsert / ended takes effect  ignored  ignored: at a tie the end wins takes effect
//	upsert / swept takes effect  takes effect, of any age
//	end / live     takes effect  ignored  takes effect                   takes effect
//	end / ended    ignored       ignored  ignored                        ignored
//
// Within a source its own order is the truth, whatever its clock does; between sources the newest last transaction is (RFC
// 5007 4.3.4). A sweep tells of one source's silence, not of the client: it stands in nobody's way. An end must also match the client and IAID of what is known; the caller checks that first.
func (n News) Wins() bool {
	switch {
	case n.Event == End && n.Ended:
		return false
	case n.SameSource || n.Age == Newer || n.Event == Upsert && n.Swept:
		return true
	case n.Age == Older:
		return false
	case n.Event == End:
		return true
	}
	return !n.Ended && n.Higher
}

// ConflictKind is how two sources disagree about an address.
type ConflictKind uint8

// How what lost differs from what is known.
const (
	ClientKind   ConflictKind = iota + 1 // another client has it, or another identity association
	LifetimeKind                         // its lease would end later
	EndedKind                            // it has ended
)

// String is the kind in lower case.
func (k ConflictKind) String() string {
	switch k {
	case ClientKind:
		return "client"
	case LifetimeKind:
		return "lifetime"
	case EndedKind:
		return "ended"
	}
	return fmt.Sprintf("ConflictKind(%d)", uint8(k))
}

// Claim is what a source says of an address or delegated prefix.
type Claim struct {
	Source          string
	DUID            []byte
	IAID            uint32
	Valid           uint32 // seconds granted at LastTransaction
	LastTransaction Time   // of an end: when it ended
	State           State  // Active, or why it ended
}

// Conflict is a lease that a source has stated without effect, because of what another source says.
type Conflict struct {
	Key         Key
	Kind        ConflictKind
	Lost, Won   Claim
	Tie         bool // whether both are of one time: then the end won, or the higher source name; else the newer transaction
	First, Last Time // when it was stated without effect, the first and the newest time; cluster time
}
