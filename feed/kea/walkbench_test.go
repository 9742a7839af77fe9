package kea

import (
	"net"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestHowLongAPageStallsKea prints how long Kea takes for pages of several sizes, in which it answers nobody else: the reason for
// defaultPage. LEASEHOLD_ROUNDS makes the database larger, by thousands of leases.
func TestHowLongAPageStallsKea(t *testing.T) {
	thousands := 2
	if n, err := strconv.Atoi(os.Getenv("LEASEHOLD_ROUNDS")); err == nil && n > 0 {
		thousands = n
	}
	k := newKea(t, nil)
	k.start()
	k.addMany(0, 1000*thousands)
	c := k.asks()
	for _, size := range []int{100, 200, 250, 1000, 2000} {
		cursor, pages, listed, sum, longest, octets := firstPage, 0, 0, time.Duration(0), time.Duration(0), 0
		for more := true; more; {
			// What Kea takes is measured by itself: connected before, and until the answer's last octet.
			conn, err := net.Dial("unix", k.socket)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if _, err := conn.Write([]byte(`{"command":"lease6-get-page","arguments":{"from":"` + cursor + `","limit":` + strconv.Itoa(size) + `}}`)); err != nil {
				t.Fatal(err)
			}
			text, err := readAll(conn, maxReply)
			took := time.Since(began)
			conn.Close()
			if err != nil {
				t.Fatal(err)
			}
			r, err := parseReply("lease6-get-page", answer{body: text})
			if err != nil {
				t.Fatal(err)
			}
			p := page{cursor: cursor}
			if len(r.arguments) > 0 {
				if err := p.read(r.arguments, "page"); err != nil {
					t.Fatal(err)
				}
			}
			pages, listed, sum, longest, octets = pages+1, listed+p.listed, sum+took, max(longest, took), octets+len(text)
			cursor, more = p.cursor, p.listed == size
		}
		if listed != 1000*thousands {
			t.Errorf("pages of %d list %d leases", size, listed)
		}
		t.Logf("pages of %4d: %6d octets each, %8v each, the slowest %8v; all %d leases in %v", size, octets/pages, (sum / time.Duration(pages)).Round(10*time.Microsecond),
			longest.Round(10*time.Microsecond), listed, sum.Round(time.Millisecond))
	}
	began := time.Now()
	if _, err := c.health(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("status-get: %v", time.Since(began).Round(10*time.Microsecond))
}
