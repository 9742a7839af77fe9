package leasequery

import "github.com/leasehold/leasehold/protocol/dhcpv6"

// AcceptStartTLS appends the REPLY without status that lets the requestor begin its TLS handshake (RFC 7653 9.1). The options of m
// are ignored (RFC 7653 6.2.2), save that its client-id is copied.
func (e *Engine) AcceptStartTLS(dst []byte, m dhcpv6.Message) []byte {
	return e.appendIdentities(dhcpv6.AppendHeader(dst, dhcpv6.MessageReply, m.TransactionID), m)
}

// appendIdentities appends the client-id of m, if it has one, and the server's.
func (e *Engine) appendIdentities(dst []byte, m dhcpv6.Message) []byte {
	if client, _ := m.Options.First(dhcpv6.OptionClientID); len(client) > 0 && len(client) <= maxDUID {
		dst = append(appendHeader(dst, dhcpv6.OptionClientID, len(client)), client...)
	}
	return e.appendServerID(dst, e.state.ServerDUID())
}
