package membership

import "github.com/hashicorp/memberlist"

// delegate gives memberlist what this node says of itself.
type delegate Gossip

// NodeMeta is what this node says of itself.
func (d *delegate) NodeMeta(int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.meta
}

// NotifyMsg ignores messages: there are none.
func (d *delegate) NotifyMsg([]byte) {}

// GetBroadcasts has nothing to send.
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState has nothing to add to what every node gossips.
func (d *delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState ignores what there is not.
func (d *delegate) MergeRemoteState([]byte, bool) {}

// conflicts reports two nodes of one id.
type conflicts Gossip

// NotifyConflict reports that a node of a known id gossips from another address: it moved, or a data directory was copied.
func (c *conflicts) NotifyConflict(existing, other *memberlist.Node) {
	c.cfg.Logger.Warn("one node id gossips from two addresses: it moved a moment ago, or a data directory was copied", "id", existing.Name,
		"known", existing.Address(), "new", other.Address())
}
