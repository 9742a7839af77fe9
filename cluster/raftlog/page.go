package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	flagBranch = 0x01
	flagLeaf   = 0x02

	elementSize = 16
	// maxValue bounds what is read of one value in the root and in bucket conf. Entries are not read here.
	maxValue = 1 << 16
)

// page is a branch or leaf of a bbolt tree. Behind its header stand its elements, and behind them keys and values, close
// together and in order:
//
//	branch  position of the key from the element 4, its length 4, page 8
//	leaf    flags 4, position of the key from the element 4, length of key 4, of value 4; the value is behind the key
type page struct {
	from     io.ReaderAt
	base     int64 // of the page in from
	id       uint64
	leaf     bool
	count    int
	elements []byte
	head     []byte // the page's beginning, as far as it was read
}

// tree reads pages of a file.
type tree struct {
	file *os.File
	meta meta
	seen uint64 // pages that were read: no page is part of two
}

// page reads a page by its number.
func (t *tree) page(id uint64) (*page, error) {
	if id < 2 || id >= t.meta.end {
		return nil, fmt.Errorf("page %d is not in use: 2 to %d are", id, t.meta.end-1)
	}
	head := make([]byte, t.meta.pageSize)
	base := int64(id * t.meta.pageSize)
	if err := readAt(t.file, head, base); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	overflow := uint64(binary.NativeEndian.Uint32(head[12:]))
	if t.seen += 1 + overflow; t.seen > t.meta.end || overflow >= t.meta.end-id {
		return nil, fmt.Errorf("page %d: %d pages behind it belong to it: more than there are", id, overflow)
	}
	if got := binary.NativeEndian.Uint64(head); got != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, got)
	}
	p := &page{from: t.file, base: base, id: id, head: head}
	// bbolt takes no more pages than it needs; some versions took one more for contents that fit exactly.
	return p, p.parse(int64(overflow*t.meta.pageSize), int64((overflow+1)*t.meta.pageSize))
}

// readAt is ReadAt for which the end of the file is an error like any other.
func readAt(from io.ReaderAt, b []byte, at int64) error {
	if _, err := from.ReadAt(b, at); errors.Is(err, io.EOF) {
		return fmt.Errorf("the file ends before octet %d: it was cut off", at+int64(len(b)))
	} else if err != nil {
		return err
	}
	return nil
}

// parse verifies that the elements describe contents without gaps that take from least to most octets.
func (p *page) parse(least, most int64) error {
	flags := binary.NativeEndian.Uint16(p.head[8:])
	if p.leaf = flags == flagLeaf; !p.leaf && flags != flagBranch {
		return fmt.Errorf("page %d: neither branch nor leaf: flags %#x", p.id, flags)
	}
	p.count = int(binary.NativeEndian.Uint16(p.head[10:]))
	if p.count == 0 && !p.leaf {
		return fmt.Errorf("page %d: branch without children", p.id)
	}
	size := int64(pageHeader + p.count*elementSize)
	if size > most {
		return fmt.Errorf("page %d: %d elements do not fit into %d octets", p.id, p.count, most)
	}
	var err error
	if p.elements, err = p.read(pageHeader, size-pageHeader); err != nil {
		return err
	}
	for i := range p.count {
		at, keyLen, valueLen := p.place(i)
		if at != size || keyLen == 0 {
			return fmt.Errorf("page %d: key %d of %d octets begins at octet %d, want %d", p.id, i, keyLen, at, size)
		}
		size += keyLen + valueLen
	}
	if size < least || size > most {
		return fmt.Errorf("page %d: contents of %d octets, want %d to %d", p.id, size, least, most)
	}
	return nil
}

// read reads octets of the page.
func (p *page) read(at, n int64) ([]byte, error) {
	if at+n <= int64(len(p.head)) {
		return p.head[at : at+n], nil
	}
	b := make([]byte, n)
	if err := readAt(p.from, b, p.base+at); err != nil {
		return nil, fmt.Errorf("page %d: %w", p.id, err)
	}
	return b, nil
}

// place tells where in the page key i begins, and the lengths of key and value.
func (p *page) place(i int) (at, keyLen, valueLen int64) {
	e, here := p.elements[i*elementSize:], int64(pageHeader+i*elementSize)
	u32 := func(at int) int64 { return int64(binary.NativeEndian.Uint32(e[at:])) }
	if p.leaf {
		return here + u32(4), u32(8), u32(12)
	}
	return here + u32(0), u32(4), 0
}

func (p *page) key(i int) ([]byte, error) {
	at, n, _ := p.place(i)
	if n > maxValue {
		return nil, fmt.Errorf("page %d: key of %d octets", p.id, n)
	}
	return p.read(at, n)
}

// child is the page that branch element i points to.
func (p *page) child(i int) uint64 { return binary.NativeEndian.Uint64(p.elements[i*elementSize+8:]) }

// value is an element of a leaf.
type value struct {
	key    string
	value  []byte
	bucket bool
}

// values reads all of a leaf.
func (p *page) values() ([]value, error) {
	if !p.leaf {
		return nil, fmt.Errorf("page %d: branch, want leaf", p.id)
	}
	out := make([]value, p.count)
	for i := range out {
		flags := binary.NativeEndian.Uint32(p.elements[i*elementSize:])
		at, keyLen, valueLen := p.place(i)
		if flags > 1 || keyLen > maxValue || valueLen > maxValue {
			return nil, fmt.Errorf("page %d: element %d has flags %#x, a key of %d octets and a value of %d", p.id, i, flags, keyLen, valueLen)
		}
		b, err := p.read(at, keyLen+valueLen)
		if err != nil {
			return nil, err
		}
		out[i] = value{string(b[:keyLen]), b[keyLen:], flags == 1}
	}
	return out, nil
}
