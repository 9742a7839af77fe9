package dhcpv6

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// clientFacts is what a LEASEQUERY-DATA tells of a client with an address and a delegated prefix.
type clientFacts struct {
	duid    []byte
	address netip.Addr
	prefix  netip.Prefix
}

var facts = clientFacts{duid: duidLLT, address: netip.MustParseAddr("2001:db8:0:1::2"), prefix: netip.MustParsePrefix("2001:db8:ff00::/56")}

// appendData appends a framed LEASEQUERY-DATA with two bindings, options written in place, as a server streams it.
func appendData(dst []byte, c *clientFacts) ([]byte, error) {
	dst, frame := OpenFrame(dst)
	dst = AppendHeader(dst, MessageLeasequeryData, TransactionID{1, 2, 3})
	dst, data := OpenOption(dst, OptionClientData)
	dst, err := AppendOption(dst, OptionClientID, c.duid)
	if err != nil {
		return dst, err
	}
	if dst, err = (IAAddress{Address: c.address, Preferred: 3000, Valid: 4000}).AppendBinary(dst); err != nil {
		return dst, err
	}
	if dst, err = (IAPrefix{Prefix: c.prefix, Preferred: 3000, Valid: 4000}).AppendBinary(dst); err != nil {
		return dst, err
	}
	if dst, err = CLTTime(17).AppendBinary(dst); err != nil {
		return dst, err
	}
	if dst, err = CloseOption(dst, data); err != nil {
		return dst, err
	}
	return CloseFrame(dst, frame)
}

// walkQuery reads a LEASEQUERY as a server does, down to what it looks for.
func walkQuery(b []byte) (looked []byte, err error) {
	m, err := ParseMessage(b)
	if err != nil {
		return nil, err
	}
	value, _ := m.Options.First(OptionLQQuery)
	q, err := ParseLQQuery(value)
	if err != nil {
		return nil, err
	}
	for code, v := range q.Options.All() {
		if code == OptionRelayID {
			looked = v
		}
	}
	return looked, nil
}

func TestStreamingAllocatesNothing(t *testing.T) {
	got, err := appendData(nil, &facts)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	want, err := AppendFrame(nil, Message{Type: MessageLeasequeryData, TransactionID: TransactionID{1, 2, 3}, Options: options(t, ClientData{Options: options(t,
		ClientID(duidLLT), IAAddress{Address: facts.address, Preferred: 3000, Valid: 4000}, IAPrefix{Prefix: facts.prefix, Preferred: 3000, Valid: 4000},
		CLTTime(17))})})
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("written in place, error %v (-want +got):\n%s", err, diff)
	}
	buf := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() { _, _ = appendData(buf, &facts) }); n != 0 {
		t.Errorf("a LEASEQUERY-DATA allocates %v times", n)
	}
	looked, err := walkQuery(query)
	if want := []byte{0, 2, 0, 0, 9}; err != nil || !bytes.Equal(looked, want) {
		t.Errorf("the query looks for % x, error %v; want % x", looked, err, want)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = walkQuery(query) }); n != 0 {
		t.Errorf("reading a LEASEQUERY allocates %v times", n)
	}
}

func BenchmarkAppendLeasequeryData(b *testing.B) {
	buf, err := appendData(nil, &facts)
	if err != nil {
		b.Fatalf("append: %v", err)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = appendData(buf[:0], &facts)
	}
}

func BenchmarkWalkLeasequery(b *testing.B) {
	b.SetBytes(int64(len(query)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := walkQuery(query); err != nil {
			b.Fatalf("walk: %v", err)
		}
	}
}

func BenchmarkOpenCloseOption(b *testing.B) {
	buf := make([]byte, 0, 64)
	for b.Loop() {
		out, mark := OpenOption(buf, OptionClientData)
		if _, err := CloseOption(out, mark); err != nil {
			b.Fatalf("close: %v", err)
		}
	}
}

func BenchmarkAppendOption(b *testing.B) {
	buf := make([]byte, 0, 64)
	for b.Loop() {
		if _, err := AppendOption(buf, OptionClientID, duidLLT); err != nil {
			b.Fatalf("append: %v", err)
		}
	}
}

func BenchmarkAppendCLTTime(b *testing.B) {
	buf := make([]byte, 0, 64)
	for b.Loop() {
		_, _ = CLTTime(17).AppendBinary(buf)
	}
}

func BenchmarkAppendIAAddress(b *testing.B) {
	buf, a := make([]byte, 0, 64), IAAddress{Address: facts.address, Preferred: 3000, Valid: 4000}
	for b.Loop() {
		_, _ = a.AppendBinary(buf)
	}
}

func BenchmarkAppendIAPrefix(b *testing.B) {
	buf, p := make([]byte, 0, 64), IAPrefix{Prefix: facts.prefix, Preferred: 3000, Valid: 4000}
	for b.Loop() {
		_, _ = p.AppendBinary(buf)
	}
}

func BenchmarkReader(b *testing.B) {
	frames := NewReader(&endless{frame: octets([]byte{0, 39}, query)}, nil)
	b.SetBytes(41)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := frames.Next(); err != nil {
			b.Fatalf("read: %v", err)
		}
	}
}
