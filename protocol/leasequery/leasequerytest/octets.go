package leasequerytest

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// What follows writes octets as the RFCs print them, in order, and knows nothing of the project's codec: tests send and expect them.

// Message types, from the IANA registry.
const (
	MsgReply, MsgRelayForw, MsgRelayRepl                                    = 7, 12, 13
	MsgLeasequery, MsgLeasequeryReply, MsgLeasequeryDone, MsgLeasequeryData = 14, 15, 16, 17
	MsgActiveLeasequery, MsgStartTLS                                        = 22, 23
)

// Option codes, from the IANA registry.
const (
	OptClientID, OptServerID, OptIAAddr, OptORO, OptRelayMsg, OptStatus  = 1, 2, 5, 6, 9, 13
	OptInterfaceID, OptIAPrefix, OptRemoteID, OptSubscriberID, OptFQDN   = 18, 26, 37, 38, 39
	OptERO, OptQuery, OptClientData, OptCLT, OptRelayData, OptClientLink = 43, 44, 45, 46, 47, 48
	OptRelayID, OptVSS, OptLinkLayer                                     = 53, 68, 79
	OptBaseTime, OptStartTime, OptEndTime, OptRelayPort                  = 100, 101, 102, 135
)

// Status codes, from the IANA registry.
const (
	StatusUnspecFail, StatusUnknownQueryType, StatusMalformed, StatusNotConfigured = 1, 7, 8, 9
	StatusNotAllowed, StatusTerminated, StatusDataMissing, StatusCatchUpComplete   = 10, 11, 12, 13
	StatusNotSupported, StatusTLSRefused                                           = 14, 15
)

// Query types (RFC 5007 4.1.2.1, RFC 5460 5.4.1).
const QueryByAddress, QueryByClientID, QueryByRelayID, QueryByLink, QueryByRemoteID = 1, 2, 3, 4, 5

// Cat is the parts behind each other.
func Cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// U16 is a number in two octets.
func U16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }

// U32 is a number in four octets.
func U32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// Addr is the 16 octets of an address.
func Addr(s string) []byte {
	a := netip.MustParseAddr(s).As16()
	return a[:]
}

// Codes is the value of an option that lists options.
func Codes(list ...int) []byte {
	var v []byte
	for _, c := range list {
		v = append(v, U16(c)...)
	}
	return v
}

// Opt is an option: code, length, value.
func Opt(code int, value ...[]byte) []byte {
	v := Cat(value...)
	return Cat(U16(code), U16(len(v)), v)
}

// ORO is an OPTION_ORO.
func ORO(codes ...int) []byte { return Opt(OptORO, Codes(codes...)) }

// IAAddr is an OPTION_IAADDR with its lifetimes in seconds.
func IAAddr(s string, preferred, valid uint32) []byte {
	return Opt(OptIAAddr, Addr(s), U32(preferred), U32(valid))
}

// IAPrefix is an OPTION_IAPREFIX with its lifetimes in seconds.
func IAPrefix(s string, preferred, valid uint32) []byte {
	p := netip.MustParsePrefix(s)
	return Opt(OptIAPrefix, U32(preferred), U32(valid), []byte{byte(p.Bits())}, Addr(p.Addr().String()))
}

// Query is an OPTION_LQ_QUERY: query type, link-address, query-options.
func Query(kind int, link string, options ...[]byte) []byte {
	return Opt(OptQuery, []byte{byte(kind)}, Addr(link), Cat(options...))
}

// ClientData is an OPTION_CLIENT_DATA of a client that spoke so many seconds ago: CLIENTID, bindings, CLT_TIME, the rest.
func ClientData(duid string, ago uint32, bindings []byte, rest ...[]byte) []byte {
	return Opt(OptClientData, Opt(OptClientID, []byte(duid)), bindings, Opt(OptCLT, U32(ago)), Cat(rest...))
}

// RelayForw is a RELAY-FORW message.
func RelayForw(hops byte, link, peer string, options ...[]byte) []byte {
	return Cat([]byte{MsgRelayForw, hops}, Addr(link), Addr(peer), Cat(options...))
}
