// Package laptop runs a whole cluster on one machine: each node a process of its own, on loopback, with its own data folder,
// configuration file and log. The dev and demo commands, the benchmarks and the tests of whole processes stand on it.
//
// The law: it ends only processes that it started, by their pid, and leaves none behind when it is stopped.
package laptop
