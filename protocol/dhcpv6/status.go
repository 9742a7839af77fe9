package dhcpv6

import "fmt"

// Status is a status code (RFC 8415 21.13, RFC 5007 4.1.3, RFC 5460 5.5, RFC 7653 11).
type Status uint16

// The status codes of leasequery.
const (
	StatusSuccess              Status = 0
	StatusUnspecFail           Status = 1
	StatusUnknownQueryType     Status = 7
	StatusMalformedQuery       Status = 8
	StatusNotConfigured        Status = 9
	StatusNotAllowed           Status = 10
	StatusQueryTerminated      Status = 11
	StatusDataMissing          Status = 12
	StatusCatchUpComplete      Status = 13
	StatusNotSupported         Status = 14
	StatusTLSConnectionRefused Status = 15
)

// String is the status code's name as in the RFCs.
func (s Status) String() string {
	switch s {
	case StatusSuccess:
		return "Success"
	case StatusUnspecFail:
		return "UnspecFail"
	case StatusUnknownQueryType:
		return "UnknownQueryType"
	case StatusMalformedQuery:
		return "MalformedQuery"
	case StatusNotConfigured:
		return "NotConfigured"
	case StatusNotAllowed:
		return "NotAllowed"
	case StatusQueryTerminated:
		return "QueryTerminated"
	case StatusDataMissing:
		return "DataMissing"
	case StatusCatchUpComplete:
		return "CatchUpComplete"
	case StatusNotSupported:
		return "NotSupported"
	case StatusTLSConnectionRefused:
		return "TLSConnectionRefused"
	}
	return fmt.Sprintf("status %d", uint16(s))
}
