// Package dhcpv6 turns DHCPv6 leasequery messages into octets and back: bytes and values, no sockets, no clocks.
//
// The law is RFC 8415 (messages, options, relaying; obsoleted by RFC 9915), RFC 5007 (leasequery), RFC 5460 (bulk leasequery and
// its framing over TCP), RFC 7653 (active leasequery) and the relay options of RFC 4649, 4580, 4994, 6607, 6939 and 8357.
//
// Encoding is append style and allocates nothing but what the caller's buffer needs; decoding copies nothing: values alias the
// octets that they were read from. DUIDs are opaque octets (RFC 8415 11), unknown options are kept byte for byte, and neither
// the order nor the repetition of options is lost. Errors say which option, at which offset.
package dhcpv6
