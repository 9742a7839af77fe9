package bulk

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// halfPipe is the server's end of a connection whose halves can be closed one by one, as those of TCP. It counts as open until it is closed.
type halfPipe struct {
	pipeConn
	open *atomic.Int64
}

func (c halfPipe) CloseWrite() error { return nil }

func (c halfPipe) Close() error {
	c.open.Add(-1)
	return c.pipeConn.Close()
}

// TestFloodLeavesNoTail opens far more connections than there may be, at once, and closes none: those that make room wait a little for their
// requestors to close, but never more of them than may be open.
func TestFloodLeavesNoTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, flood = 10, 300
		f := newFixture(t, Config{MaxConnections: limit, MaxConnectionsPerRequestor: flood}, &script{}).start(t)
		var open atomic.Int64
		for n := range flood {
			client, server := net.Pipe()
			t.Cleanup(func() { _ = client.Close() }) // its other end is closed
			open.Add(1)
			at := net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv6Loopback(), uint16(1024+n)))
			f.pipes.accept <- halfPipe{pipeConn{server, at}, &open}
		}
		synctest.Wait()
		if n := open.Load(); n != 2*limit {
			t.Errorf("%d connections of %d are not closed, want %d that are open and as many that make room", n, flood, limit)
		}
		if n := f.metric(t, MetricClosed, string(endEvicted)); n != flood-limit {
			t.Errorf("%v connections made room, want %d", n, flood-limit)
		}
		f.stop(t)
	})
}
