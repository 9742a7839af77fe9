// Package udp answers leasequery over UDP: RFC 5007, asked directly or through relays (RFC 8415 19, RFC 4994, RFC 8357). What an
// answer says is the business of package leasequery; this one has the sockets.
//
// Each socket has two goroutines. One reads datagrams, many at a time, throws away what gets no answer and puts the rest into a
// room of bounded size. The other takes all that is in the room, gets one view for it, answers and sends, many at a time. So the
// cost of a view, which is a round trip to the leader, is shared by all queries that came while the one before was made, and a
// query in steady state costs no allocation. While there is no leader queries stay in the room, each once, for Config.Hold at most;
// then there is silence, which makes a requestor ask another server.
//
// Whoever is not in the policy gets no answer, and neither does anything that is no query. No memory is kept for a source, save
// in a table of fixed size that limits rates.
package udp
