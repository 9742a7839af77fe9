package starttls

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// What crypto/tls says while nobody writes is bounded: a requestor that asks for key updates and reads nothing cannot fill the memory.
func TestKeepIsBounded(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	c := &Conn{socket: here, buffers: &sync.Pool{}}
	defer here.Close()
	record, kept := make([]byte, 27), []byte(nil)
	for i := 0; ; i++ {
		record[0] = byte(i)
		n, err := wire{c}.Write(record)
		if err != nil {
			if !errors.Is(err, errOverflow) || n != 0 {
				t.Errorf("%d, %v", n, err)
			}
			break
		}
		if kept = append(kept, record...); len(kept) > sealedBuffer {
			t.Fatalf("%d octets kept", len(kept))
		}
	}
	if len(kept) < sealedBuffer-len(record) {
		t.Errorf("only %d octets kept", len(kept))
	}
	got := make([]byte, len(kept))
	flushed := make(chan error, 1)
	go func() { flushed <- c.flush() }()
	if _, err := io.ReadFull(there, got); err != nil || !bytes.Equal(kept, got) {
		t.Errorf("%v, or other octets", err)
	}
	if err := <-flushed; err != nil || c.sealed != nil {
		t.Errorf("%v; buffer given back: %v", err, c.sealed == nil)
	}
}
