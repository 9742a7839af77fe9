package binding

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
