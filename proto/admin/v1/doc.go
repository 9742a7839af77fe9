// Package adminv1 is the contract between an operator and any node of a cluster, generated from admin.proto, where it is written
// down.
package adminv1
