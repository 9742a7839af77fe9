// Package hosted runs nodes of the built program in a netlab: each is a real process on a host of its own.
package hosted
