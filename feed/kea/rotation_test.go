package kea

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// journal writes and rotates a lease file as Kea does.
type journal struct {
	path string
	last [8]int // IAID written last for each address
}

func (j *journal) address(i int) string { return fmt.Sprintf("2001:db8::%d", i+1) }

func (j *journal) row(i int) string {
	return sampleRow(map[string]string{"address": j.address(i), "iaid": strconv.Itoa(j.last[i])})
}

func (j *journal) create() error { return os.WriteFile(j.path, []byte(sampleHeader), 0o600) }

func (j *journal) write(i int) error {
	j.last[i]++
	file, err := os.OpenFile(j.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(j.row(i))
	return errors.Join(err, file.Close())
}

// rotate does what was seen of Kea, in that order.
func (j *journal) rotate() error {
	if err := os.Rename(j.path, j.path+".1"); err != nil {
		return err
	}
	if err := j.create(); err != nil {
		return err
	}
	var compact strings.Builder
	compact.WriteString(sampleHeader)
	for i := range j.last {
		compact.WriteString(j.row(i))
	}
	if err := os.WriteFile(j.path+".output", []byte(compact.String()), 0o600); err != nil {
		return err
	}
	if err := os.Rename(j.path+".output", j.path+".completed"); err != nil {
		return err
	}
	for _, old := range []string{".2", ".1"} {
		if err := os.Remove(j.path + old); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.Rename(j.path+".completed", j.path+".2")
}

// TestReadingWhileKeaRotates: each reading has every lease, at least as new as it was when the reading began.
func TestReadingWhileKeaRotates(t *testing.T) {
	j := &journal{path: filepath.Join(t.TempDir(), "kea-leases6.csv")}
	if err := j.create(); err != nil {
		t.Fatal(err)
	}
	for i := range j.last {
		if err := j.write(i); err != nil {
			t.Fatal(err)
		}
	}
	var written atomic.Uint64 // turns that are on disk: in each, every address was written once
	written.Store(1)
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for turn := uint64(2); ; turn++ {
			for i := range j.last {
				if err := j.write(i); err != nil {
					stopped <- err
					return
				}
			}
			written.Store(turn)
			if err := j.rotate(); err != nil {
				stopped <- err
				return
			}
			select {
			case <-stop:
				stopped <- nil
				return
			case <-time.After(time.Millisecond): // Kea's rotations are an hour apart
			}
		}
	}()
	for range 100 {
		least := written.Load()
		got, totals := read(t, Config{Files: []string{j.path}}, time.Unix(0, 0))
		if len(got.leases) != len(j.last) || totals.Skipped > 0 {
			t.Fatalf("%d leases, totals %+v", len(got.leases), totals)
		}
		for _, l := range got.leases {
			if uint64(l.GetIaid()) < least {
				a, _ := netip.AddrFromSlice(l.GetAddress())
				t.Fatalf("%v is as of turn %d, turn %d was written", a, l.GetIaid(), least)
			}
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}
