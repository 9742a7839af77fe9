package raftlog

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// meta is what counts of bbolt's newest meta page.
type meta struct {
	pageSize uint64
	root     uint64 // page of the root bucket
	end      uint64 // one behind the last page in use
	tx       uint64 // the transaction that wrote it
	empty    bool   // that transaction changed nothing: the older meta page has the same root
}

const (
	minPage    = 512
	pageHeader = 16 // octets: id 8, flags 2, count 2, overflow 4
	metaSize   = 64
	metaSummed = 56
	firstTx    = 1 // bbolt makes a file with meta pages of transactions 0 and 1
)

// readMeta reads both meta pages, which bbolt writes in turn, and returns the newer.
//
// bbolt takes one that is damaged for one that a crash tore while it was written, and goes on with the other. But a meta
// page is 80 octets at the beginning of a page: in one sector, which disks write whole or not at all. So a crash leaves both
// whole, and one that is not was damaged later. Nobody can tell whether that was the older, which is not needed, or the
// newer: without it the node would forget what it wrote last, a vote or an entry that it acknowledged. So one damaged page is
// reason enough to refuse. For the same reason the two must be of successive transactions.
func readMeta(file io.ReaderAt, pageSize int) (meta, error) {
	var metas [2]meta
	for i := range metas {
		var b [pageHeader + metaSize]byte
		if _, err := file.ReadAt(b[:], int64(i)*int64(pageSize)); err != nil {
			return meta{}, fmt.Errorf("meta page %d: %w", i, err)
		}
		var err error
		if metas[i], err = parseMeta(b[pageHeader:]); err != nil {
			return meta{}, fmt.Errorf("meta page %d: %w", i, err)
		}
		if metas[i].tx%2 != uint64(i) || metas[i].pageSize != uint64(pageSize) {
			return meta{}, fmt.Errorf("meta page %d: of transaction %d, with pages of %d octets", i, metas[i].tx, metas[i].pageSize)
		}
	}
	older, newer := metas[0], metas[1]
	if older.tx > newer.tx {
		older, newer = newer, older
	}
	if newer.tx != older.tx+1 {
		return meta{}, fmt.Errorf("meta pages of transactions %d and %d: one was not written", older.tx, newer.tx)
	}
	newer.empty = newer.root == older.root
	return newer, nil
}

func parseMeta(b []byte) (meta, error) {
	h := fnv.New64a()
	_, _ = h.Write(b[:metaSummed]) // never fails
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	if u64(b[metaSummed:]) != h.Sum64() {
		return meta{}, errSum
	}
	// magic 4, version 4, page size 4, flags 4, root 8, its sequence 8, free list 8, end 8, transaction 8, checksum 8
	return meta{pageSize: uint64(u32(b[8:])), root: u64(b[16:]), end: u64(b[40:]), tx: u64(b[48:])}, nil
}
