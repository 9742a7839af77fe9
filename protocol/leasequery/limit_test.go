package leasequery

import "testing"

// A stanza's rate goes before the server's, with its own burst; a burst alone goes with the server's rate.
func TestRequestorLimit(t *testing.T) {
	for name, c := range map[string]struct {
		stanza Requestor
		rate   float64
		burst  int
	}{
		"nothing":        {Requestor{}, 10, 5},
		"burst alone":    {Requestor{Burst: 3}, 10, 3},
		"rate alone":     {Requestor{Rate: 2}, 2, 0},
		"rate and burst": {Requestor{Rate: 2, Burst: 3}, 2, 3},
	} {
		if rate, burst := c.stanza.Limit(10, 5); rate != c.rate || burst != c.burst {
			t.Errorf("%s: %v, %d, want %v, %d", name, rate, burst, c.rate, c.burst)
		}
	}
}
