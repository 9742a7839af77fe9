// Package history records what clients of a cluster did and saw, and checks with porcupine that one order of the log explains
// all of it.
//
// The unit is a group: a few keys (bindings) that are written by chains of numbered batches (the sessions of one source) and
// read singly or all at once. A group's state is the version that each key has, and how far each chain has come. A history is
// accepted when every operation can be given a moment between its call and its return at which it took place, such that
//
//   - a batch takes effect whole, behind the batch before it in its chain, and once;
//   - a read shows the state of one moment: never half a batch, never a later batch of a chain without the earlier;
//   - a read that may be stale by a bound shows a state that held no longer than the bound before its call;
//   - a batch with an unknown outcome takes effect at some moment behind its call, or never.
package history
