// Package leasehold is a coredhcp plugin that feeds a Leasehold cluster with every lease that coredhcp hands out over DHCPv6,
// together with the relay chain that the client's message came through. It is an example: copy it, and change it.
//
// It is the last plugin of the chain, so that it sees the reply as the client will get it. See README.md.
package leasehold
