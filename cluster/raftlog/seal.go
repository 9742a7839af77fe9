package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
)

// A seal stands behind a value:
//
//	mark  4 octets, none of which is ASCII
//	sum   4 octets, big endian: CRC-32C of the key and of the value before the mark
const (
	sealSize = 8
	sealMark = 0xd5c3b1e7
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errSum says that a value is not what was written.
var errSum = errors.New("checksum does not fit")

func sum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// appendSeal appends the seal of a value that was stored under a key.
func appendSeal(value, key []byte) []byte {
	s := sum(key, value)
	value = binary.BigEndian.AppendUint32(value, sealMark)
	return binary.BigEndian.AppendUint32(value, s)
}

// openSeal takes the seal off and verifies it. A value without one is from before there were seals, and is returned whole:
// but not if the mark is there with a few bits wrong, which no term, address or entry ends with.
func openSeal(key, sealed []byte) (value []byte, err error) {
	n := len(sealed) - sealSize
	if n < 0 {
		return sealed, nil
	}
	mark := binary.BigEndian.Uint32(sealed[n:])
	switch wrong := bits.OnesCount32(mark ^ sealMark); {
	case wrong == 0 && binary.BigEndian.Uint32(sealed[n+4:]) == sum(key, sealed[:n]):
		return sealed[:n], nil
	case wrong < 4:
		return nil, fmt.Errorf("%w: value of %d octets", errSum, len(sealed))
	}
	return sealed, nil
}
