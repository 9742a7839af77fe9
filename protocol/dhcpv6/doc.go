// Package dhcpv6 turns DHCPv6 leasequery messages into octets and back: bytes and values, no sockets, no clocks.
//
// The law is RFC 8415 (messages, options, relaying; obsoleted by RFC 9915), RFC 5007 (leasequery), RFC 5460 (bulk leasequery and
// its framing over TCP), RFC 7653 (active leasequery), RFC 4704 (host names) and the relay options of RFC 4649, 4580, 4994, 6607,
// 6939 and 8357.
//
// Encoding is append style and allocates nothing but what the caller's buffer needs; decoding copies nothing: values alias the
// octets that they were read from. DUIDs are opaque octets (RFC 8415 11), unknown options are kept byte for byte, and neither
// the order nor the repetition of options is lost. Errors say which option, at which offset.
//
// Each option is a type with a parser of its value, AppendBinary, which appends the whole option, and Length, which counts its
// header too. A message is checked option by option as far as it is looked into: ParseMessage checks the framing of its
// options, the options' parsers what is inside. So a message with one broken option can still be answered.
//
// Over TCP, Reader and NextFrame find the messages however the stream is cut; OpenFrame and CloseFrame write one in place, as
// OpenOption and CloseOption write options that nest.
package dhcpv6
