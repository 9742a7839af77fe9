// Package raftlog is the Raft log and the stable store of a node: one bbolt file that nothing is believed of unchecked.
//
// The file is one that raft-boltdb/v2 wrote or could read: bucket "logs" has an entry a key, the index as 8 octets, big
// endian, its value raft.Log as msgpack; bucket "conf" has Raft's term and vote. Three things are added, all of which
// raft-boltdb ignores:
//
//   - Behind every value stands a seal of 8 octets: a mark and the CRC-32C of key and value. raft-boltdb takes a log entry
//     and a number from the front of the value and does not see it. It does see it behind other values: see Log.Set.
//   - Every transaction writes its own number and the first and last index of the log to "conf", under "Extent". So a log
//     whose end has gone is told from one that never was longer. When another program wrote since, which can be told by
//     what it left, the record counts for nothing.
//   - "Snapshot" in "conf" is the index and term of the newest snapshot that the node had.
//
// What raft-boltdb wrote has no seal and is read as it is.
//
// Open reads the structure of the whole file before bbolt maps it: bbolt believes its pages, dies of a file that is too short
// (SIGBUS), and goes back to the older of its two meta pages, without a word, when the newer is damaged. Values are verified when they are read. Every error about
// what the file has wraps ErrDamaged and names the file.
package raftlog
