package dhcpv6

import (
	"bytes"
	"errors"
	"testing"
)

func TestAppendFrame(t *testing.T) {
	m, err := ParseMessage(query)
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	want := octets([]byte("front"),
		[]byte{0, 39}, // message-size
		query)
	got, err := AppendFrame([]byte("front"), m)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("frame % x, error %v; want % x", got, err, want)
	}
	done, err := AppendFrame(nil, Message{Type: MessageLeasequeryDone, TransactionID: TransactionID{1, 2, 3}})
	if want := []byte{0, 4, 16, 1, 2, 3}; err != nil || !bytes.Equal(done, want) {
		t.Errorf("LEASEQUERY-DONE % x, error %v; want % x", done, err, want)
	}
}

func TestAppendFrameAtTheLimit(t *testing.T) {
	fits := Message{Type: MessageLeasequeryData, Options: make([]byte, MaxFrame-4)}
	got, err := AppendFrame(nil, fits)
	if err != nil || len(got) != 2+MaxFrame || got[0] != 0xff || got[1] != 0xff {
		t.Errorf("the longest message: a frame of %d octets, error %v", len(got), err)
	}
	front := []byte("front")
	fits.Options = append(fits.Options, 0)
	if got, err = AppendFrame(front, fits); !errors.Is(err, ErrTooLong) || !bytes.Equal(got, front) {
		t.Errorf("a message of 65536: %d octets, error %v; want ErrTooLong and nothing appended", len(got), err)
	}
}

func TestCloseFrame(t *testing.T) {
	for _, tc := range []struct {
		n    int
		want error
	}{{0, ErrShortFrame}, {3, ErrShortFrame}, {4, nil}, {255, nil}, {256, nil}, {65535, nil}, {65536, ErrTooLong}} {
		dst, mark := OpenFrame([]byte("front"))
		dst, err := CloseFrame(append(dst, make([]byte, tc.n)...), mark)
		if !errors.Is(err, tc.want) {
			t.Fatalf("a message of %d octets: error %v, want %v", tc.n, err, tc.want)
		}
		want := octets([]byte("front"), []byte{byte(tc.n >> 8), byte(tc.n)}, make([]byte, tc.n))
		if err != nil {
			want = want[:5]
		}
		if !bytes.Equal(dst, want) {
			t.Errorf("a message of %d octets became % x...", tc.n, dst[:min(len(dst), 9)])
		}
	}
}

func TestNextFrame(t *testing.T) {
	stream := octets(
		[]byte{0, 4}, []byte{16, 1, 2, 3}, // LEASEQUERY-DONE
		[]byte{0, 39}, query,
	)
	for n := range len(stream) + 1 {
		frame, taken, err := NextFrame(stream[:n])
		switch {
		case err != nil:
			t.Errorf("%d octets: %v", n, err)
		case n < 6 && (taken != 0 || frame != nil):
			t.Errorf("%d octets are a frame of %d", n, taken)
		case n >= 6 && (taken != 6 || !bytes.Equal(frame, stream[2:6]) || cap(frame) != 4):
			t.Errorf("%d octets: frame % x (room for %d) of %d", n, frame, cap(frame), taken)
		}
	}
	if frame, n, err := NextFrame(stream[6:]); err != nil || n != 41 || !bytes.Equal(frame, query) {
		t.Errorf("second frame % x of %d, error %v", frame, n, err)
	}
	for size := range 4 {
		b := octets([]byte{0, byte(size)}, make([]byte, 10))
		for n := 2; n <= len(b); n++ { // refused as soon as the length is there
			if frame, taken, err := NextFrame(b[:n]); !errors.Is(err, ErrShortFrame) || frame != nil || taken != 0 {
				t.Errorf("a frame of %d octets: % x of %d, error %v; want ErrShortFrame", size, frame, taken, err)
			}
		}
	}
}
