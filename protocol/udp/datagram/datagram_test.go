package datagram

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// loopback is a socket there that lives as long as the test.
func loopback(t testing.TB) (*net.UDPConn, Endpoint) {
	t.Helper()
	c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	at := c.LocalAddr().(*net.UDPAddr).AddrPort()
	return c, Endpoint{Addr: at.Addr(), Port: at.Port()}
}

func pair(t testing.TB, c *net.UDPConn) (*Reader, *Writer) {
	t.Helper()
	in, err := NewReader(c)
	if err != nil {
		t.Fatal(err)
	}
	out, err := NewWriter(c)
	if err != nil {
		t.Fatal(err)
	}
	return in, out
}

// payload is what the nth datagram holds: from nothing but one octet to the longest there is.
func payload(n int) []byte {
	sizes := []int{1, 2, 100, 1232, 1500, 9000, MaxOctets}
	return bytes.Repeat([]byte{byte(n)}, sizes[n%len(sizes)])
}

func TestManyComeAsTheyWent(t *testing.T) {
	a, from := loopback(t)
	b, to := loopback(t)
	_, out := pair(t, a)
	in, _ := pair(t, b)
	// A few at a time: the longest fill a socket's buffer.
	for first := 0; first < 3*Slots; first += 4 {
		sent := 0
		for n := range 4 {
			p := payload(first + n)
			sent += len(p)
			if out.Add(Outgoing{Octets: p, To: to, Local: netip.IPv6Unspecified()}) {
				t.Fatal("full after 4")
			}
		}
		if n, octets, lost, err := out.Flush(); n != 4 || octets != sent || lost != 0 || err != nil {
			t.Fatalf("sent %d of %d octets, lost %d, %v", n, octets, lost, err)
		}
		for seen := 0; seen < 4; {
			n, err := in.Read()
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				d := in.At(i)
				if want := payload(first + seen); d.From != from || !bytes.Equal(d.Octets, want) || d.Truncated {
					t.Errorf("datagram %d: %d octets from %+v, want %d from %+v", first+seen, len(d.Octets), d.From, len(want), from)
				}
				seen++
			}
		}
	}
}

func TestAddTellsWhenItIsFull(t *testing.T) {
	a, to := loopback(t)
	_, out := pair(t, a)
	for n := range Slots {
		if full := out.Add(Outgoing{Octets: []byte{1}, To: to, Local: netip.IPv6Unspecified()}); full != (n == Slots-1) {
			t.Fatalf("after %d: full %v", n+1, full)
		}
	}
	if n, _, lost, err := out.Flush(); n != Slots || lost != 0 || err != nil {
		t.Errorf("sent %d, lost %d, %v", n, lost, err)
	}
	if n, _, _, err := out.Flush(); n != 0 || err != nil {
		t.Errorf("again: sent %d, %v", n, err)
	}
}

// One that cannot be sent costs only itself.
func TestOneCannotBeSent(t *testing.T) {
	a, to := loopback(t)
	_, out := pair(t, a)
	nobody := netip.MustParseAddr("2001:db8::1") // no address of this machine
	for n := range 5 {
		local := netip.IPv6Unspecified()
		if n == 2 {
			local = nobody
		}
		out.Add(Outgoing{Octets: []byte{byte(n)}, To: to, Local: local})
	}
	if n, octets, lost, err := out.Flush(); n != 4 || octets != 4 || lost != 1 || err == nil {
		t.Errorf("sent %d of %d octets, lost %d, %v", n, octets, lost, err)
	}
}

func TestReadEndsWithItsDeadline(t *testing.T) {
	a, _ := loopback(t)
	in, _ := pair(t, a)
	if err := a.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := in.Read(); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestBatchesAllocateNothing(t *testing.T) {
	a, to := loopback(t)
	in, out := pair(t, a)
	octets := make([]byte, 200)
	if n := testing.AllocsPerRun(100, func() {
		for range 16 {
			out.Add(Outgoing{Octets: octets, To: to, Local: netip.IPv6Unspecified()})
		}
		if n, _, _, err := out.Flush(); n != 16 || err != nil {
			t.Fatal(n, err)
		}
		for got := 0; got < 16; {
			n, err := in.Read()
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if d := in.At(i); len(d.Octets) != 200 {
					t.Fatal(len(d.Octets))
				}
			}
			got += n
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
