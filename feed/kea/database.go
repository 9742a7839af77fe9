package kea

import (
	"errors"
	"fmt"
)

// ErrOrphan is wrapped when Kea does not write the lease file that is to be followed: what stands in it is of the past.
var ErrOrphan = errors.New("Kea keeps no lease file")

// database is what a configuration says of where Kea keeps its leases. Its zero value says nothing.
type database struct {
	kind     string // of lease-database: memfile, mysql, postgresql
	volatile bool   // a memfile that is in memory alone
}

// readDatabase reads it from a configuration whose links could be read.
func readDatabase(text *flat) (d database) {
	r := reader{src: text.text, trailing: true}
	entry := func(key []byte) (err error) {
		switch string(key) {
		case "type":
			var kind []byte
			kind, err = r.string()
			d.kind = string(kind)
		case "persist":
			var persists bool
			persists, err = r.boolean()
			d.volatile = !persists
		default:
			err = r.skip()
		}
		return err
	}
	below := func(name string, f func([]byte) error) func([]byte) error {
		return func(key []byte) error {
			if string(key) != name {
				return r.skip()
			}
			return r.object(f)
		}
	}
	if err := r.object(below("Dhcp6", below("lease-database", entry))); err != nil {
		return database{} // a value of another type than Kea takes
	}
	return d
}

// follows is nil unless the lease file is none that Kea writes; then it wraps ErrOrphan.
func (d database) follows() error {
	switch {
	case d.kind != "" && d.kind != "memfile":
		return fmt.Errorf(`%w: its "lease-database" is of the type %s (leave leases out of the source: then the agent asks by control, and listens by push)`, ErrOrphan, d.kind)
	case d.volatile:
		return fmt.Errorf(`%w: its "lease-database" has "persist": false (let it persist, or leave leases out of the source: then the agent asks by control, and listens by push)`, ErrOrphan)
	}
	return nil
}
