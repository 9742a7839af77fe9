package history

import (
	"fmt"
	"strings"
	"time"
)

// Limits of a group.
const (
	MaxKeys   = 8  // keys of a group
	MaxChains = 16 // chains that write a group during one history
)

// Versions is the version that each key of a group has; 0 is none: the key is not bound. Versions of a group are never used
// twice.
type Versions [MaxKeys]uint32

// Keys is a set of keys: bit i is key i.
type Keys uint16

// All is the set of the first n keys.
func All(n int) Keys { return 1<<n - 1 }

// One is the set of one key.
func One(key int) Keys { return 1 << key }

// Has tells whether the key is in the set.
func (k Keys) Has(key int) bool { return k&One(key) != 0 }

// Write is a batch: it gives the keys in Keys the version in To, 0 to end the binding.
type Write struct {
	Chain    int    // 0 to MaxChains-1: the session that the batch belongs to
	Sequence uint32 // from 1 within the chain
	Keys     Keys
	To       Versions
}

// Read is an answer: the keys in Keys have the version in Saw.
type Read struct {
	Keys  Keys
	Saw   Versions
	Bound time.Duration // how far before its call the state may have held; 0 for a strict read
}

// operation is a write or a read with its times on the clock of its Recorder.
type operation struct {
	write        *Write // nil for a read
	read         Read
	client       int
	call, ret    time.Duration
	unknown      bool // of a write: nobody knows whether it took effect, or will
	callOfClient time.Duration
}

// String is the operation on one line.
func (o *operation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "client %d [%v, %v]", o.client, o.callOfClient, o.ret)
	keys, versions := o.read.Keys, o.read.Saw
	switch {
	case o.write == nil && o.read.Bound > 0:
		fmt.Fprintf(&b, " read within %v:", o.read.Bound)
	case o.write == nil:
		b.WriteString(" read:")
	default:
		keys, versions = o.write.Keys, o.write.To
		fmt.Fprintf(&b, " write %d of chain %d:", o.write.Sequence, o.write.Chain)
	}
	for i := range MaxKeys {
		if keys.Has(i) {
			fmt.Fprintf(&b, " %d=%d", i, versions[i])
		}
	}
	if o.unknown {
		b.WriteString(" (outcome unknown)")
	}
	return b.String()
}
