// Package deployment writes what runs beside a cluster's nodes so that one address leads to whichever is ready: keepalived for
// addresses on one network, bird for routes between networks, and the agent that tells them of readiness.
//
// The law: what is written is complete and works as it is; why each setting is as it is stands beside it; the same cluster gives
// the same octets.
package deployment
