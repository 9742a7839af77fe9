package cluster_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/history"
	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
)

// versionsIn asks a view for keys of a group as queries do: by address for one, by link-address for all.
func versionsIn(v binding.View, group int, keys history.Keys) (history.Versions, error) {
	var saw history.Versions
	var q binding.Query
	if keys == history.All(soakKeys) {
		q = binding.Query{By: binding.ByLinkAddress, Links: v.SelectLinks(nil, soakAddress(group, 100).Addr())}
	} else {
		for key := range soakKeys {
			if keys.Has(key) {
				q = binding.Query{By: binding.ByAddress, Key: binding.Key{Prefix: soakAddress(group, key)}}
			}
		}
	}
	cursor := v.Select(q)
	var client binding.Client
	for cursor.Next(&client) {
		if err := addClient(&saw, &client, group, keys); err != nil {
			return saw, err
		}
	}
	return saw, nil
}

// addClient notes the version of every address that the client has.
func addClient(saw *history.Versions, client *binding.Client, group int, keys history.Keys) error {
	if len(client.DUID) != 9 {
		return fmt.Errorf("group %d: client %x", group, client.DUID)
	}
	for _, e := range client.Entries {
		a := e.Prefix.Addr().As16()
		key := int(a[15]) - 1
		switch {
		case e.State != binding.Active || key < soakKeys && !keys.Has(key): // a client is given with everything that it has
			continue
		case key >= soakKeys || e.Prefix != soakAddress(group, key):
			return fmt.Errorf("group %d: address %v", group, e.Prefix)
		case saw[key] != 0:
			return fmt.Errorf("group %d: two clients have %v", group, e.Prefix)
		}
		saw[key] = binary.BigEndian.Uint32(client.DUID[5:])
	}
	return nil
}

// shortLease is the lifetime of the bindings that watchExpiry waits for, in seconds.
const shortLease = 2

// watchExpiry puts bindings of a short lifetime and looks, strictly, when they end: never early (rule 27). Cluster time
// may be slewed by a tenth.
func (c *clients) watchExpiry() {
	rng := rand.New(rand.NewPCG(c.seed, 2000))
	session := fsm.Session{Source: "short", Epoch: c.epochs.Add(1)}
	c.every(10*time.Millisecond, func() bool {
		session.Sequence++
		address := mayfly(session)
		begin := time.Now()
		_, err := c.put(session, []fsm.Change{{Change: binding.Change{Event: binding.Upsert, Binding: binding.Binding{
			Kind: binding.NA, Prefix: address, DUID: []byte{0, 3, 0, 1, 9}, IAID: 1, Preferred: shortLease, Valid: shortLease,
		}}}}, func() bool { return false })
		if err != nil {
			c.t.Errorf("put a binding of %d s: %v", shortLease, err)
			return false
		}
		c.leases.Add(1)
		c.every(10*time.Millisecond, func() bool {
			members := c.c.Members()
			n := members[rng.IntN(len(members))].Running()
			if n == nil {
				return true
			}
			v, err := n.View(c.ctx)
			if err != nil {
				return true
			}
			defer v.Release()
			if _, _, live := v.FindAddress(address.Addr()); live {
				return true
			}
			if lived := time.Since(begin); lived < shortLease*time.Second*8/10 {
				c.t.Errorf("a binding of %d s ended after %v", shortLease, lived)
			}
			return false
		})
		return true
	})
}

// mayfly is an address for a short-lived binding.
func mayfly(s fsm.Session) netip.Prefix {
	a := netip.MustParseAddr("2001:db8:ffff::").As16()
	binary.BigEndian.PutUint32(a[8:], uint32(s.Epoch))
	binary.BigEndian.PutUint32(a[12:], uint32(s.Sequence))
	return netip.PrefixFrom(netip.AddrFrom16(a), 128)
}
