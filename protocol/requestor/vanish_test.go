//go:build linux

package requestor

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// TestVanishedServer: a requestor that only waits for the rest of an answer learns from its own probes that the server's host is
// gone, or that the address has moved to a host which knows nothing of the connection; BULK_LQ_DATA_TIMEOUT would be minutes.
func TestVanishedServer(t *testing.T) {
	for name, tc := range map[string]struct {
		fault   func(l *netlab.Lab, server, relay, other *netlab.Host)
		timeout time.Duration // Config.UserTimeout
		want    error
	}{
		"cut off": {func(l *netlab.Lab, s, r, _ *netlab.Host) { l.CutBoth(s, r) }, DefaultUserTimeout, syscall.ETIMEDOUT},
		"the address has moved": {func(_ *netlab.Lab, s, r, o *netlab.Host) {
			s.Run("ip", "address", "del", s.Addr.String()+"/64", "dev", netlab.Interface)
			o.Run("ip", "address", "add", s.Addr.String()+"/64", "dev", netlab.Interface, "nodad")
			r.Run("ip", "neighbour", "flush", "dev", netlab.Interface) // what the new owner's advertisement does
		}, 30 * time.Second, syscall.ECONNRESET}, // the commands may take a while
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab := netlab.New(t)
			server, relay, other := lab.Host("server"), lab.Host("relay"), lab.Host("other")
			l, err := server.Listen("tcp", server.AddrPort(547))
			if err != nil {
				t.Fatal(err)
			}
			s := newScripted(t, nil)
			t.Cleanup(func() { l.Close() })
			accepted := make(chan net.Conn, 1)
			s.wg.Go(func() {
				conn, err := l.Accept()
				if err != nil {
					t.Errorf("accept: %v", err)
					return
				}
				accepted <- conn
				s.play(act{replies: []func(dhcpv6.TransactionID) []dhcpv6.Message{part(0, 3)}, silent: true}, conn)
			})
			d := Config{UserTimeout: tc.timeout}.Dialer()
			config := Config{ClientID: ownID, Dial: func(ctx context.Context, addr string) (net.Conn, error) { return relay.Dial(ctx, d, "tcp", addr) }}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c, err := Dial(ctx, l.Addr().String(), config)
			if err != nil {
				t.Fatal(err)
			}
			var start time.Time
			clients := 0
			err = c.Query(ctx, everything, func(*Client) error {
				if clients++; clients == 3 {
					tc.fault(lab, server, relay, other)
					start = time.Now()
				}
				return nil
			})
			t.Logf("noticed after %v: %v", time.Since(start).Round(10*time.Millisecond), err)
			if !errors.Is(err, ErrIncomplete) || !errors.Is(err, tc.want) {
				t.Errorf("got %v, want ErrIncomplete and %v", err, tc.want)
			}
			if err := errors.Join(c.Close(), (<-accepted).Close()); err != nil {
				t.Error(err)
			}
		})
	}
}
