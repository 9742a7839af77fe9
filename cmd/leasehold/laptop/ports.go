package laptop

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
)

// ports are the loopback addresses of one node, and what keeps others away from them.
type ports struct {
	leasequery, raft, gossip, grpc, http string

	held []io.Closer
}

// Ports are chosen below those that kernels give to whoever connects: a node that is started again must find its own free.
const (
	firstPort = 10240
	lastPort  = 32767
)

// freePorts finds loopback addresses that nobody uses, and holds them where the kernel can do that. Whoever gets them releases them.
func freePorts(nodes int) (_ []ports, err error) {
	out := make([]ports, nodes)
	defer func() {
		if err != nil {
			for i := range out {
				err = errors.Join(err, out[i].release())
			}
		}
	}()
	loopback4, loopback6 := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	for i := range out {
		p := &out[i]
		for _, want := range []struct {
			addr *string
			host netip.Addr
		}{{&p.leasequery, loopback6}, {&p.raft, loopback4}, {&p.gossip, loopback4}, {&p.grpc, loopback4}, {&p.http, loopback4}} {
			if *want.addr, err = p.find(want.host); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// find finds and holds a port that is free for TCP and UDP.
func (p *ports) find(host netip.Addr) (string, error) {
	var last error
	for range 500 {
		a := netip.AddrPortFrom(host, uint16(firstPort+rand.IntN(lastPort-firstPort+1)))
		held, err := hold(a)
		if err != nil {
			last = err
			continue
		}
		udp, err := net.ListenPacket("udp", a.String())
		if err != nil {
			last = errors.Join(err, held.Close())
			continue
		}
		p.held = append(p.held, held)
		return a.String(), udp.Close()
	}
	return "", fmt.Errorf("find a port on %s that is free for TCP and UDP: %w", host, last)
}

// release lets others have the ports.
func (p *ports) release() error {
	var errs []error
	for _, h := range p.held {
		errs = append(errs, h.Close())
	}
	p.held = nil
	return errors.Join(errs...)
}
