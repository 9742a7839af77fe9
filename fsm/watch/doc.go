// Package watch tells readers on a node of the changes that its state machine applies, in the order of the log.
//
// The state machine writes what it has changed; any number of readers, each at a position of its own, read behind that. Nobody
// waits for a reader: one that has fallen behind what is kept is told so, and finds the rest in the state itself.
package watch
