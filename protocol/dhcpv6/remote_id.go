package dhcpv6

import "encoding/binary"

// RemoteID is the value of OPTION_REMOTE_ID (RFC 4649 3): an enterprise number and what that enterprise makes of it.
type RemoteID struct {
	Enterprise uint32
	ID         []byte
}

// ParseRemoteID reads the option's value: 4 octets and at least one more.
func ParseRemoteID(value []byte) (RemoteID, error) {
	if len(value) <= remoteIDFixedOctets {
		return RemoteID{}, parseError(OptionRemoteID, len(value), ErrLength)
	}
	return RemoteID{Enterprise: binary.BigEndian.Uint32(value), ID: value[remoteIDFixedOctets:]}, nil
}

// AppendBinary appends the whole option; the error is ErrTooLong.
func (r RemoteID) AppendBinary(dst []byte) ([]byte, error) {
	n := remoteIDFixedOctets + len(r.ID)
	if n > maxOptionValue {
		return dst, ErrTooLong
	}
	dst = binary.BigEndian.AppendUint32(appendOptionHeader(dst, OptionRemoteID, n), r.Enterprise)
	return append(dst, r.ID...), nil
}

// Length is the option's length in octets, header included.
func (r RemoteID) Length() int { return optionHeaderOctets + remoteIDFixedOctets + len(r.ID) }
