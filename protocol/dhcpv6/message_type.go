package dhcpv6

import "fmt"

// MessageType is the first octet of a message.
type MessageType uint8

// The message types that leasequery uses (RFC 8415 7.3, RFC 5007 4.1.1, RFC 5460 5.2, RFC 7653 6.2).
const (
	MessageReply            MessageType = 7  // REPLY: answers STARTTLS
	MessageRelayForward     MessageType = 12 // RELAY-FORW
	MessageRelayReply       MessageType = 13 // RELAY-REPL
	MessageLeasequery       MessageType = 14 // LEASEQUERY
	MessageLeasequeryReply  MessageType = 15 // LEASEQUERY-REPLY
	MessageLeasequeryDone   MessageType = 16 // LEASEQUERY-DONE
	MessageLeasequeryData   MessageType = 17 // LEASEQUERY-DATA
	MessageActiveLeasequery MessageType = 22 // ACTIVELEASEQUERY
	MessageStartTLS         MessageType = 23 // STARTTLS
)

// String is the type's name as in the RFCs.
func (t MessageType) String() string {
	switch t {
	case MessageReply:
		return "REPLY"
	case MessageRelayForward:
		return "RELAY-FORW"
	case MessageRelayReply:
		return "RELAY-REPL"
	case MessageLeasequery:
		return "LEASEQUERY"
	case MessageLeasequeryReply:
		return "LEASEQUERY-REPLY"
	case MessageLeasequeryDone:
		return "LEASEQUERY-DONE"
	case MessageLeasequeryData:
		return "LEASEQUERY-DATA"
	case MessageActiveLeasequery:
		return "ACTIVELEASEQUERY"
	case MessageStartTLS:
		return "STARTTLS"
	}
	return fmt.Sprintf("message type %d", uint8(t))
}
