// Package membership finds the other nodes of a cluster by gossip (hashicorp/memberlist) and remembers them.
//
// What it says is advice. Nobody becomes or ceases to be a voter because of it: the leader alone changes the replicated
// configuration, and a node that fails gossip stays a voter. memberlist never looks again for a node that it has declared
// dead, so a loop joins the seeds and everyone last known again and again; without it a partition would last for ever.
package membership
