package laptop

import (
	"fmt"
	"net"
)

// ports are the loopback addresses of one node.
type ports struct {
	leasequery, raft, gossip, grpc, http string
}

// freePorts finds loopback addresses that nobody listens on. All are held open until every one is found, so that none is
// handed out twice.
func freePorts(nodes int) ([]ports, error) {
	var held []interface{ Close() error }
	defer func() {
		for _, h := range held {
			h.Close()
		}
	}()
	both := func(host string) (string, error) { // a port that is free for TCP and UDP
		for range 50 {
			l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
			if err != nil {
				return "", fmt.Errorf("find a free port on %s: %w", host, err)
			}
			held = append(held, l)
			p, err := net.ListenPacket("udp", l.Addr().String())
			if err == nil {
				held = append(held, p)
				return l.Addr().String(), nil
			}
		}
		return "", fmt.Errorf("find a port on %s that is free for TCP and UDP", host)
	}
	out := make([]ports, nodes)
	for i := range out {
		for _, want := range []struct {
			addr *string
			host string
		}{
			{&out[i].leasequery, "::1"}, {&out[i].raft, "127.0.0.1"}, {&out[i].gossip, "127.0.0.1"}, {&out[i].grpc, "127.0.0.1"}, {&out[i].http, "127.0.0.1"},
		} {
			a, err := both(want.host)
			if err != nil {
				return nil, err
			}
			*want.addr = a
		}
	}
	return out, nil
}
