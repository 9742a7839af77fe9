// Package bulk is the TCP server of bulk and active leasequery: it accepts connections, frames messages, runs the queries of one
// connection side by side and streams their answers, or tells a subscriber on a connection of its own what changes. What an answer
// or a subscription says is protocol/leasequery's; bulk moves octets, keeps limits and times.
//
// The law is RFC 5460 (sections 5.1, 5.6 and 7) and RFC 7653 (section 9). Where the RFCs are silent:
//
//   - A message that cannot be answered is discarded and counted and costs nothing else; only a frame too short to hold a
//     DHCPv6 header ends its connection, because nothing behind it can be trusted to be a frame.
//   - Past the limit of queries, and past a requestor's rate, the server does not read: what waits, waits in the requestor's socket
//     (RFC 5460 7.3).
//   - A query beside a subscription, of either kind, gets MalformedQuery. Its subscription goes on; a subscription that was asked
//     for beside queries is refused like any other, by a status and the close behind what runs.
//   - A subscription ends at once when its requestor closes the sending half: other than an answer it would never be whole.
//   - A requestor that closes its sending half gets every answer that is running, whole, before the server closes.
//   - STARTTLS is for the first message. Nothing that came in clear is ever taken for what is said inside TLS, where close_notify is
//     what closing the sending half is without it. A stranger by its address may do nothing else; its certificate tells who it is.
//   - An answer that cannot go on ends with a status, then so do the other answers of its connection, then it is closed.
//
// Each connection has two goroutines. The receiver reads frames and begins queries; the sender takes turns between the
// running answers, gathers their messages in one buffer and hands it to the kernel in one write. Both stop when either does.
//
// The sender of a subscription waits until it is woken: by one goroutine for all subscriptions (protocol/active), or by its timer, which
// runs only to tell that nothing has changed. It then gathers what has changed since the write before, however long that took, so a slow
// subscriber costs fewer writes and no memory. Between writes it holds nothing of the state.
package bulk
