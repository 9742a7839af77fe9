package raftlog

import (
	"encoding/binary"
	"fmt"
)

// run is what the leaves of the log hold, in order.
type run struct {
	first, last uint64
	whole       uint64 // from here to the last no entry is missing
}

// add takes the next leaf. Its keys are read, its entries are not: they are verified when somebody wants them.
func (r *run) add(p *page) error {
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
