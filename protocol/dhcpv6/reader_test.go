package dhcpv6

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"testing/iotest"
)

// stream is frames of different lengths, one behind the other, and the messages in them.
func stream(t testing.TB) (b []byte, messages [][]byte) {
	t.Helper()
	for i, n := range []int{4, 4, 39, 5000, 4, 65535, 255, 256, 4, 20000, 65535, 4} {
		m := Message{Type: MessageLeasequeryData, TransactionID: TransactionID{byte(i)}, Options: bytes.Repeat([]byte{byte(i + 1)}, n-4)}
		var err error
		if b, err = AppendFrame(b, m); err != nil {
			t.Fatalf("append frame: %v", err)
		}
		octets, _ := m.AppendBinary(nil)
		messages = append(messages, octets)
	}
	return b, messages
}

// pieces reads its stream in pieces of the given lengths, over and over.
type pieces struct {
	b       []byte
	lengths []int
	i       int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.lengths[p.i%len(p.lengths)])], p.b)
	p.b = p.b[n:]
	p.i++
	return n, nil
}

func TestReaderCutsAnywhere(t *testing.T) {
	b, want := stream(t)
	for name, r := range map[string]io.Reader{
		"all at once":          bytes.NewReader(b),
		"octet by octet":       iotest.OneByteReader(bytes.NewReader(b)),
		"halves":               iotest.HalfReader(bytes.NewReader(b)),
		"with the last octets": iotest.DataErrReader(bytes.NewReader(b)),
		"segments":             &pieces{b: b, lengths: []int{1440}},
		"odd pieces":           &pieces{b: b, lengths: []int{1, 7, 2, 65536, 3, 0, 4096, 5}},
	} {
		for _, buffer := range []int{0, 6, 7, 64, 65536, 65537, 128 << 10} {
			if o, ok := r.(*pieces); ok {
				o.b, o.i = b, 0
			} else if buffer != 0 {
				continue
			}
			frames := NewReader(r, make([]byte, buffer))
			for i := range want {
				got, err := frames.Next()
				if err != nil || !bytes.Equal(got, want[i]) {
					t.Fatalf("%s through %d octets: message %d has %d octets, error %v; want %d", name, buffer, i, len(got), err, len(want[i]))
				}
			}
			if got, err := frames.Next(); got != nil || err != io.EOF || frames.Buffered() != 0 {
				t.Errorf("%s: at the end %d octets, error %v", name, len(got), err)
			}
		}
	}
}

// Cut off at every octet, a stream gives its whole messages, and then says whether it ended between them.
func TestReaderCutOff(t *testing.T) {
	b := octets([]byte{0, 4, 16, 0, 0, 1}, []byte{0, 39}, query, []byte{0, 5, 16, 0, 0, 2, 9})
	ends := map[int]int{0: 0, 6: 1, 47: 2, 54: 3}
	whole := 0
	for n := range len(b) + 1 {
		count, between := ends[n]
		if between {
			whole = count
		}
		frames := NewReader(bytes.NewReader(b[:n]), nil)
		for i := range whole {
			if _, err := frames.Next(); err != nil {
				t.Fatalf("%d octets: message %d: %v", n, i, err)
			}
		}
		want := io.ErrUnexpectedEOF
		if between {
			want = io.EOF
		}
		for range 2 { // and it stays
			if got, err := frames.Next(); got != nil || err != want {
				t.Errorf("%d octets: after %d messages % x, error %v; want %v", n, whole, got, err, want)
			}
		}
	}
}

func TestReaderShortFrameEndsTheStream(t *testing.T) {
	for size := range 4 {
		b := octets([]byte{0, 4, 16, 0, 0, 1}, []byte{0, byte(size)}, []byte{0, 4, 16, 0, 0, 2})
		frames := NewReader(bytes.NewReader(b), nil)
		if got, err := frames.Next(); err != nil || !bytes.Equal(got, []byte{16, 0, 0, 1}) {
			t.Fatalf("the message in front: % x, error %v", got, err)
		}
		for range 3 {
			if got, err := frames.Next(); got != nil || !errors.Is(err, ErrShortFrame) {
				t.Errorf("a frame of %d: % x, error %v; want ErrShortFrame", size, got, err)
			}
		}
	}
}

// A frame that only announces 65,535 octets costs what has come, not what it announces.
func TestReaderGrowsWithWhatCame(t *testing.T) {
	in, out := io.Pipe()
	frames := NewReader(in, nil)
	done := make(chan error, 1)
	go func() { _, err := frames.Next(); done <- err }()
	_, _ = out.Write([]byte{0xff, 0xff}) // in has the two octets when Write returns
	_, _ = out.Write(make([]byte, 5000))
	if err := out.CloseWithError(os.ErrDeadlineExceeded); err != nil {
		t.Fatalf("close: %v", err)
	}
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want the stream's own", err)
	}
	if len(frames.buf) != 2*firstBuffer || frames.Buffered() != 5002 {
		t.Errorf("5002 octets take a buffer of %d, of which %d are taken", len(frames.buf), frames.Buffered())
	}

	b, want := stream(t)
	frames = NewReader(iotest.OneByteReader(bytes.NewReader(b)), nil)
	for range want {
		if _, err := frames.Next(); err != nil {
			t.Fatalf("read: %v", err)
		}
	}
	if len(frames.buf) != maxBuffer {
		t.Errorf("the longest frames take a buffer of %d, want %d", len(frames.buf), maxBuffer)
	}
}

// timeouts gives one octet, then a timeout, and so on.
type timeouts struct {
	b     []byte
	pause bool
}

func (r *timeouts) Read(b []byte) (int, error) {
	if r.pause = !r.pause; r.pause {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b[:1], r.b)
	r.b = r.b[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func TestReaderGoesOnAfterATimeout(t *testing.T) {
	frames := NewReader(&timeouts{b: octets([]byte{0, 39}, query)}, nil)
	for i := range 41 { // one in front of each octet
		if got, err := frames.Next(); got != nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("timeout %d: % x, error %v", i, got, err)
		}
	}
	if got, err := frames.Next(); err != nil || !bytes.Equal(got, query) {
		t.Errorf("after 41 timeouts: % x, error %v", got, err)
	}
}

// An error that comes together with octets is told after the messages in them.
func TestReaderErrorBehindMessages(t *testing.T) {
	broken := errors.New("broken")
	b := octets([]byte{0, 4, 16, 0, 0, 1}, []byte{0, 4, 16, 0, 0, 2}, []byte{0})
	frames := NewReader(iotest.DataErrReader(io.MultiReader(bytes.NewReader(b), iotest.ErrReader(broken))), nil)
	for i := range 2 {
		if _, err := frames.Next(); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if _, err := frames.Next(); !errors.Is(err, broken) || err.Error() != "read frame: broken" {
		t.Errorf("error %v, want the stream's own", err)
	}
}

func TestReaderBearsNoEndlessEmptyReads(t *testing.T) {
	frames := NewReader(&pieces{b: []byte{0}, lengths: []int{0}}, nil)
	if _, err := frames.Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v, want io.ErrNoProgress", err)
	}
}

func TestReaderAllocatesNothingAMessage(t *testing.T) {
	frames := NewReader(&endless{frame: octets([]byte{0, 39}, query)}, nil)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := frames.Next(); err != nil {
			t.Errorf("read: %v", err)
		}
	}); n != 0 {
		t.Errorf("a message allocates %v times", n)
	}
}

// endless repeats a frame, as many times as fit into a read.
type endless struct{ frame []byte }

func (e *endless) Read(b []byte) (int, error) {
	n := 0
	for n+len(e.frame) <= len(b) {
		n += copy(b[n:], e.frame)
	}
	return n, nil
}
