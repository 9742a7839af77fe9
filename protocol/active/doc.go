// Package active is what the subscriptions of a node share: who may subscribe (RFC 7653 9.1, 9.4), how many subscriptions there are,
// and one goroutine that waits for changes for all of them. What a subscription tells is
// protocol/leasequery's, the connection that it has for itself protocol/bulk's.
//
// Nothing is queued for a subscription. It is told that there may be news, and looks for itself at the newest state. So a wake that
// comes while it is busy is as good as one that comes later, and a thousand changes are one wake, one look and one write.
package active
