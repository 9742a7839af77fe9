package raftlog

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"
)

func indexKey(index uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 8), index) }

// encodeEntry is the entry as raft-boltdb writes it, and its seal.
func encodeEntry(l *raft.Log) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(l.Data) + len(l.Extensions) + 128)
	if err := codec.NewEncoder(&b, &codec.MsgpackHandle{}).Encode(l); err != nil {
		return nil, fmt.Errorf("encode entry %d: %w", l.Index, err)
	}
	return appendSeal(b.Bytes(), indexKey(l.Index)), nil
}

// decodeEntry is the entry that is stored at an index. Nothing of it lies in value.
func decodeEntry(index uint64, value []byte, l *raft.Log) (err error) {
	body, err := openSeal(indexKey(index), value)
	if err != nil {
		return err
	}
	dec := codec.NewDecoder(bytes.NewReader(body), &codec.MsgpackHandle{})
	if err := dec.Decode(l); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	if n := dec.NumBytesRead(); n != len(body) {
		return fmt.Errorf("%d octets behind the entry", len(body)-n)
	}
	if l.Index != index {
		return fmt.Errorf("the entry says that it is %d", l.Index)
	}
	return nil
}
