package binding

import "net/netip"

// Entry is one binding, or one end of a binding, of a client on a link, as a view shows it. Its slices point into the view
// and hold until the cursor moves on.
type Entry struct {
	Kind            Kind
	State           State // Active, or why it ended
	Prefix          netip.Prefix
	IAID            uint32
	Preferred       uint32 // seconds granted at LastTransaction
	Valid           uint32 // seconds granted at LastTransaction
	LastTransaction Time   // of an end that a source reported: when it ended, as the source said
	Changed         Time   // the closed time of the entry that last changed it (RFC 7653: time of change)
	Change          uint64 // the number of that change
	Source          uint16 // number of the source that owns it
	Chain           Chain
	Options         []byte // client options
}

// Client is a client on a link: the unit of an answer (RFC 5460 5.2.1). A cursor fills and reuses it.
type Client struct {
	Link    LinkID
	DUID    []byte
	Entries []Entry // by kind, then address, then length; ended entries of one key behind the live one
}

// By names what a query selects clients by.
type By uint8

// What a query can select by. The values are the query types of RFC 5007 4.1.2.1 and RFC 5460 5.1 where they have one.
const (
	ByEverything  By = 0 // every client: no query type
	ByAddress     By = 1 // QUERY_BY_ADDRESS: Query.Key is the binding's key
	ByClientID    By = 2 // QUERY_BY_CLIENT_ID: Query.Value is the DUID
	ByRelayID     By = 3 // QUERY_BY_RELAY_ID: Query.Value is the relay's DUID
	ByLinkAddress By = 4 // QUERY_BY_LINK_ADDRESS: Query.Links alone decides
	ByRemoteID    By = 5 // QUERY_BY_REMOTE_ID: Query.Value is enterprise number and remote-id
)

// Query selects clients. A client matches when one of its live entries does.
type Query struct {
	By    By
	Key   Key      // ByAddress
	Value []byte   // ByClientID, ByRelayID, ByRemoteID
	Links []LinkID // sorted; only clients on these links; nil is every link, for all but ByLinkAddress
	Ended bool     // whether an end matches as a live entry does
}

// Cursor walks over the clients that a query selects, in the one replicated order: link, then client.
type Cursor interface {
	// Next fills c with the next client, all of its entries on that link, and tells whether there was one. c is valid until the
	// next call.
	Next(c *Client) bool
}

// View is the state at one point of the log. It never changes; reading takes no lock. All methods may be called from one
// goroutine at a time; Release is called once, after which neither view nor cursors may be used.
type View interface {
	// Index is the log index of the newest applied entry.
	Index() uint64
	// Clock is the closed time: the state machine's clock after that entry.
	Clock() Time
	// SelectLinks appends to dst, sorted, the links that a query's link-address selects: those that list it as relay address,
	// the one whose prefix holds it by longest match, and those of bindings whose chain's LinkAddress is exactly it.
	SelectLinks(dst []LinkID, linkAddress netip.Addr) []LinkID
	// LinkHolding is the link whose prefix holds the address by longest match.
	LinkHolding(a netip.Addr) (LinkID, bool)
	// Representative is the link's representative address: the lowest in its prefixes that no other link's longer prefix holds.
	Representative(id LinkID) netip.Addr
	// LinkPrefixes is the link's prefixes, sorted; nil for an unknown link. The caller must not change them.
	LinkPrefixes(id LinkID) []netip.Prefix
	// FindAddress is the live address binding with exactly this address.
	FindAddress(a netip.Addr) (Key, LinkID, bool)
	// FindDelegated is the live delegated prefix that contains the address, the longest if there are several.
	FindDelegated(a netip.Addr) (Key, LinkID, bool)
	// Select begins a walk over the clients that the query selects.
	Select(q Query) Cursor
	// Release gives the view back.
	Release()
}
