package kea

import (
	"bytes"
	"fmt"
	"slices"
)

// column is a column of the file that the reader uses.
type column int

const (
	colAddress column = iota
	colDUID
	colValid
	colExpire
	colSubnet
	colPreferred
	colType
	colIAID
	colPrefixLen
	colForward
	colReverse
	colHostname
	colState   // since schema 3.0
	colContext // since schema 3.0
	columnCount

	requiredColumns = colHostname + 1 // Kea itself accepts no file with fewer
)

var columnNames = [columnCount]string{
	"address", "duid", "valid_lifetime", "expire", "subnet_id", "pref_lifetime", "lease_type", "iaid", "prefix_len", "fqdn_fwd", "fqdn_rev",
	"hostname", "state", "user_context",
}

// maxColumns bounds a header; Kea 3.3 writes 18.
const maxColumns = 64

// columns says where a file has which column.
type columns struct {
	count int              // columns of a line
	at    [columnCount]int // index of each, or -1
}

// parseHeader reads a file's first line. Columns may be in any order; those that the reader does not use are passed over. The
// error wraps ErrHeader.
func parseHeader(line []byte) (columns, error) {
	c := columns{}
	for i := range c.at {
		c.at[i] = -1
	}
	names := bytes.Split(line, []byte{','})
	if len(names) > maxColumns {
		return c, fmt.Errorf("%w: %d columns, at most %d are understood", ErrHeader, len(names), maxColumns)
	}
	c.count = len(names)
	for i, name := range names {
		known := slices.Index(columnNames[:], string(name))
		if known < 0 {
			continue
		}
		if c.at[known] >= 0 {
			return c, fmt.Errorf("%w: column %s occurs twice", ErrHeader, name)
		}
		c.at[known] = i
	}
	for i := range requiredColumns {
		if c.at[i] < 0 {
			return c, fmt.Errorf("%w: no column %s%s", ErrHeader, columnNames[i], whose(names))
		}
	}
	return c, nil
}

// whose says of a header without what is needed whose it is, if it is known.
func whose(names [][]byte) string {
	for _, name := range names {
		if string(name) == "client_id" {
			return " (it is that of Kea's DHCPv4 server, whose leases are not fed: the DHCPv6 server's is kea-leases6.csv)"
		}
	}
	return ""
}
