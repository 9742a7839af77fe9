// Package forward finds the node that a call is to be carried out by: the leader. A call that came to another node is passed on
// to it.
//
// The law: one hop. A node that a call was passed on to carries it out or refuses it.
package forward
