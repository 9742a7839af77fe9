//go:build linux

package feedtest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	other "github.com/insomniacslk/dhcp/dhcpv6"
)

// Options and messages of RFC 5007.
const (
	optionQuery      = 44
	optionClientData = 45
	queryByAddress   = 1
)

// Lookup asks a node by leasequery (RFC 5007), as the relay would, for an address until the answer tells of a client, and returns
// when that answer came.
func (a *Air) Lookup(ctx context.Context, n *Node, address netip.Addr) (time.Time, error) {
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(n.Leasequery))
	for {
		if ctx.Err() != nil {
			return time.Time{}, fmt.Errorf("look %v up: %w", address, ctx.Err())
		}
		m, err := other.NewMessage(other.WithClientID(&other.DUIDEN{EnterpriseNumber: 32473, EnterpriseIdentifier: []byte("relay")}))
		if err != nil {
			return time.Time{}, err
		}
		m.MessageType = other.MessageTypeLeaseQuery
		query := append([]byte{queryByAddress}, make([]byte, 16)...)
		query = append(query, 0, 5, 0, 24)
		query = append(append(query, address.AsSlice()...), make([]byte, 8)...)
		m.AddOption(&other.OptionGeneric{OptionCode: optionQuery, OptionData: query})
		answer := a.expect(m)
		if _, err := a.relay.WriteTo(m.ToBytes(), to); err != nil {
			a.forget(m.TransactionID)
			return time.Time{}, err
		}
		again := time.NewTimer(100 * time.Millisecond)
		select {
		case r := <-answer:
			if reply, ok := r.packet.(*other.Message); ok && reply.GetOneOption(optionClientData) != nil {
				again.Stop()
				return r.at, nil
			}
			again.Reset(time.Millisecond)
			<-again.C
		case <-again.C:
		case <-ctx.Done():
		}
		again.Stop()
		a.forget(m.TransactionID)
	}
}
