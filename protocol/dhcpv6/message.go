package dhcpv6

// TransactionID is the 24-bit number that joins a reply to its query.
type TransactionID [3]byte

// Message is a client/server message (RFC 8415 8):
//
//	+---------------+-----------------------------------------------+
//	|    msg-type   |                 transaction-id                |
//	+---------------+-----------------------------------------------+
//	|                           options                             |
type Message struct {
	Type          MessageType
	TransactionID TransactionID
	Options       Options // aliases what was parsed
}

// ParseMessage reads a message and checks the framing of its options; what is inside them is left to the options' own parsers.
// The error is a *ParseError. Relay messages have another form: ParseRelayMessage.
func ParseMessage(b []byte) (Message, error) {
	if len(b) < messageHeaderOctets {
		return Message{}, parseError(optionNone, len(b), ErrTruncated)
	}
	m := Message{Type: MessageType(b[0]), TransactionID: TransactionID(b[1:4]), Options: Options(b[messageHeaderOctets:])}
	if err := m.Options.validate(messageHeaderOctets); err != nil {
		return Message{}, err
	}
	return m, nil
}

// AppendBinary appends the message. It never fails.
func (m Message) AppendBinary(dst []byte) ([]byte, error) {
	return append(AppendHeader(dst, m.Type, m.TransactionID), m.Options...), nil
}

// Length is the message's length in octets.
func (m Message) Length() int { return messageHeaderOctets + len(m.Options) }

// AppendHeader appends the header of a message whose options the caller appends next.
func AppendHeader(dst []byte, t MessageType, id TransactionID) []byte {
	return append(dst, byte(t), id[0], id[1], id[2])
}
