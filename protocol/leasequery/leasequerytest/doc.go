// Package leasequerytest is a state for tests of leasequery: bindings in a slice, looked through from front to back. It is slow
// and obvious, and has nothing in common with the real store but the answers that both must give.
package leasequerytest
