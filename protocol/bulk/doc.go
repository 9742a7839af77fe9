// Package bulk is the TCP server of bulk leasequery: it accepts connections, frames messages, runs the queries of one
// connection side by side and streams their answers. What an answer says is protocol/leasequery's; bulk moves octets, keeps
// limits and times.
//
// The law is RFC 5460 (sections 5.1, 5.6 and 7), with RFC 7653 9.1 and 9.2 for the messages of active leasequery that arrive at
// this port. Where the RFCs are silent:
//
//   - A message that cannot be answered is discarded and counted and costs nothing else; only a frame too short to hold a
//     DHCPv6 header ends its connection, because nothing behind it can be trusted to be a frame.
//   - Past the limit of queries the server does not read: what waits, waits in the requestor's socket (RFC 5460 7.3).
//   - A requestor that closes its sending half gets every answer that is running, whole, before the server closes.
//   - STARTTLS is for the first message. Nothing that came in clear is ever taken for what is said inside TLS, where close_notify is
//     what closing the sending half is without it. A stranger by its address may do nothing else; its certificate tells who it is.
//   - An answer that cannot go on ends with a status, then so do the other answers of its connection, then it is closed.
//
// Each connection has two goroutines. The receiver reads frames and begins queries; the sender takes turns between the
// running answers, gathers their messages in one buffer and hands it to the kernel in one write. Both stop when either does.
package bulk
