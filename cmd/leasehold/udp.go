package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/udp"
)

// listenUDP opens the sockets of leasequery over UDP, beside that over TCP, whose port it takes. None where UDP is off.
func listenUDP(cfg config.Config, tcp net.Addr) ([]*net.UDPConn, error) {
	if !cfg.UDP.Enabled {
		return nil, nil
	}
	at := cfg.Leasequery.Listen
	if bound, ok := tcp.(*net.TCPAddr); ok {
		at = netip.AddrPortFrom(at.Addr(), bound.AddrPort().Port())
	}
	conns, err := udp.Listen(context.Background(), at, cfg.UDP.Sockets, cfg.UDP.Multicast)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w: if a DHCP server on this machine has the port, set udp.enabled: false", err)
	}
	return conns, err
}

// openRaw opens the socket by which large answers leave in fragments; nil where that is off, and, with a warning, where this process may not.
func openRaw(cfg config.UDP, log *slog.Logger) *net.IPConn {
	if !cfg.RawFragments {
		return nil
	}
	raw, err := udp.OpenRaw(context.Background())
	if err != nil {
		log.Warn("large answers to leasequery over UDP are fragmented by the system alone, which does not cut them to 1,280 octets: CAP_NET_RAW is missing", "err", err)
		return nil
	}
	return raw
}

// udpConfig is what leasequery over UDP is told of the configuration.
func udpConfig(cfg config.Config) udp.Config {
	c := udp.Config{MaxHops: cfg.UDP.MaxHops, Hold: max(cfg.UDP.Hold, 1), Rate: cfg.UDP.Rate, Burst: cfg.UDP.Burst} // a hold of 0 would be the default
	if a := cfg.Leasequery.Listen.Addr(); !a.IsUnspecified() && !a.IsLinkLocalUnicast() {
		c.Source = a
	}
	return c
}

// assembleUDP builds what answers over UDP, if anything does.
func (n *process) assembleUDP(engine *leasequery.Engine, policy *leasequery.Policy, registry *prometheus.Registry) {
	if len(n.listeners.udp) == 0 {
		return
	}
	c := udpConfig(n.cfg)
	c.Answering = n.node.Ready()
	if len(n.cfg.UDP.Multicast) > 0 {
		c.Leader = n.node.IsLeader
	}
	c.Raw = n.listeners.raw6
	n.udp = udp.New(c, engine, policy, n.log.With("part", "udp"), udp.NewMetrics(registry))
}
