package raftlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const (
	bucketHeader = 16 // octets: root page 8, sequence 8; no root page: the one leaf stands behind it
	maxDepth     = 32
)

// walk visits the leaves of a bucket in order.
func (t *tree) walk(bucket []byte, leaf func(*page) error) error {
	if len(bucket) < bucketHeader {
		return fmt.Errorf("header of %d octets", len(bucket))
	}
	if root := binary.NativeEndian.Uint64(bucket); root != 0 {
		return t.descend(root, nil, nil, maxDepth, leaf)
	}
	b := bucket[bucketHeader:]
	if len(b) < pageHeader {
		return fmt.Errorf("leaf of %d octets", len(b))
	}
	p := &page{from: bytes.NewReader(b), head: b}
	if err := p.parse(int64(len(b)), int64(len(b))); err != nil {
		return err
	}
	if !p.leaf {
		return fmt.Errorf("branch of %d octets in a bucket's header", len(b))
	}
	return leaf(p)
}

// descend visits the leaves below a page, whose keys must be from low up to, but not, high; nil: there is no such bound.
func (t *tree) descend(id uint64, low, high []byte, depth int, leaf func(*page) error) error {
	p, err := t.page(id)
	if err != nil {
		return err
	}
	if depth == 0 {
		return fmt.Errorf("page %d: more than %d pages above it", id, maxDepth)
	}
	if p.count > 0 {
		if err := p.between(low, high); err != nil {
			return err
		}
	}
	if p.leaf {
		return leaf(p)
	}
	for i := range p.count {
		from, err := p.key(i)
		if err != nil {
			return err
		}
		to := high
		if i+1 < p.count {
			if to, err = p.key(i + 1); err != nil {
				return err
			}
			if bytes.Compare(from, to) >= 0 {
				return fmt.Errorf("page %d: key %d is not below the next", id, i)
			}
		}
		if err := t.descend(p.child(i), from, to, depth-1, leaf); err != nil {
			return err
		}
	}
	return nil
}

// between verifies that the page begins with the key that its parent has for it, and ends below the next.
func (p *page) between(low, high []byte) error {
	first, err := p.key(0)
	if err != nil {
		return err
	}
	last, err := p.key(p.count - 1)
	if err != nil {
		return err
	}
	if (low != nil && !bytes.Equal(first, low)) || (high != nil && bytes.Compare(last, high) >= 0) {
		return fmt.Errorf("page %d: keys %x to %x, want them from %x to below %x", p.id, first, last, low, high)
	}
	return nil
}
