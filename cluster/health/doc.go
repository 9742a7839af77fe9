// Package health serves what machines ask about a node over HTTP: /livez, /readyz, /readyz/watch and /metrics.
//
// The law: /readyz says yes exactly when relays should be sent here. It is what moves virtual addresses, so it says no with the
// reasons as soon as the node knows that it should not be asked, and never because of a short election. Whoever must know at once does not ask again and again: /readyz/watch says it.
package health
