// Package synthetic makes leases up: any number of clients behind any number of relays, the same ones each time. It is for
// demonstrations, measurements and tests, which need more leases than a recording has, and need to know them.
//
// Each client has one address (IA_NA) and one delegated /56 (IA_PD), and came through one relay that added Interface-Id, Remote-Id
// and Relay-Id. DUIDs are of the four types of RFC 8415 11, 10 to 18 octets long. Addresses are from 2001:db8::/32 (RFC 3849),
// delegated prefixes from 3fff::/20 (RFC 9637).
package synthetic
