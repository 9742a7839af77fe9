// Package peerv1 is the contract between the nodes of one cluster, generated from peer.proto, where it is written
// down.
package peerv1
