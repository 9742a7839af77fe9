package raftlog

import (
	"encoding/binary"
	"fmt"
)

// run is what the leaves of the log hold, in order.
type run struct {
	first, last uint64
	whole       uint64 // from here to the last no entry is missing
	end         *page  // the last leaf
}

// add takes the next leaf. Its keys are read, its entries are not: they are verified when somebody wants them.
func (r *run) add(p *page) error {
	r.end = p
	for i := range p.count {
		if flags := binary.NativeEndian.Uint32(p.elements[i*elementSize:]); flags != 0 {
			return fmt.Errorf("page %d: element %d has flags %#x", p.id, i, flags)
		}
		index, err := p.index(i)
		if err != nil {
			return err
		}
		if index <= r.last {
			return fmt.Errorf("page %d: entry %d is behind entry %d", p.id, index, r.last)
		}
		if r.first == 0 {
			r.first = index
		}
		if index != r.last+1 || r.whole == 0 {
			r.whole = index
		}
		r.last = index
	}
	return nil
}

// endsUnsealed tells whether the last entry has no seal: another program wrote it.
func (r *run) endsUnsealed() (bool, error) {
	if r.last == 0 {
		return false, nil
	}
	at, keyLen, valueLen := r.end.place(r.end.count - 1)
	if valueLen < sealSize {
		return true, nil
	}
	mark, err := r.end.read(at+keyLen+valueLen-sealSize, sealSize)
	return err == nil && binary.BigEndian.Uint32(mark) != sealMark, err
}

// index is the number that key i is.
func (p *page) index(i int) (uint64, error) {
	key, err := p.key(i)
	if err != nil {
		return 0, err
	}
	if len(key) != 8 {
		return 0, fmt.Errorf("page %d: key of %d octets, want 8", p.id, len(key))
	}
	return binary.BigEndian.Uint64(key), nil
}
