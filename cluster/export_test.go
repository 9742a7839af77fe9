package cluster

// BreakDisk closes the log under the node, so that its next write fails like that of a broken disk.
func (n *Node) BreakDisk() error { return n.stores.bolt.Close() }
