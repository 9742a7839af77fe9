package bulk

import (
	"context"
	"net"
	"time"
)

// What bounds the life of a connection whose peer has vanished while octets are on their way to it.
const (
	peerTimeout = 5 * time.Second // how long nothing may be acknowledged
	watchEvery  = time.Second
)

// watchPeers ends connections whose peers are gone, until ctx ends: its host is off or cut, or the address that it talks to has
// moved to another node. Such a connection would keep its buffers, its views and its place until TCP gave up, a quarter of an
// hour later. TCP_USER_TIMEOUT is not the means: Linux applies it to a peer as well that is there and only has not read for so
// long, and that one has BULK_LQ_DATA_TIMEOUT.
func (s *Server) watchPeers(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.admission.sweep()
			s.admission.each(func(c *conn) {
				if tc, ok := c.socket.(*net.TCPConn); ok && unanswered(tc, peerTimeout) {
					c.end(endReset, "the requestor is gone")
				}
			})
		case <-ctx.Done():
			return
		}
	}
}
