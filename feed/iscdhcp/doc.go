// Package iscdhcp follows the leases of ISC dhcpd 4.4: the DHCPv6 lease file (dhcpd6.leases) and the subnets of its configuration.
//
// The law is what dhcpd writes. The file is a journal of blocks, one per identity association, each with the addresses or prefixes
// that it has:
//
//	ia-na "7\"\\\012\000\001…" {
//	  cltt 1 2026/11/23 09:21:20;
//	  iaaddr 2001:db8:1000::1084 {
//	    binding state active;
//	    preferred-life 3600;
//	    max-life 7200;
//	    ends 1 2026/11/23 11:21:20;
//	    set leasehold-link-address = " \001\015\270\020\000\000\000\000\000\000\000\000\000\000\001";
//	  }
//	}
//
// The key is four octets of IAID, in the byte order of the machine that wrote the file (authoring-byte-order), and the DUID; it is
// written as a string with octal escapes or, with lease-id-format hex, as octets joined by colons. Times are in UTC, or "epoch" and
// seconds, or "never". A later block of an address supersedes an earlier one; one that ends a lease (expired, released, abandoned)
// does so only for the client that it names. At its start and each hour dhcpd writes a new file without what has ended, and gives
// it the old one's name.
//
// The last transaction is cltt, or what ends minus max-life says if that is earlier: an association may hold addresses that its
// newest exchange did not touch. A released lease ended at cltt, an expired one at ends, an abandoned one (declined) at cltt.
// dhcpd names no link; a lease's link follows from its relay's address or its own.
//
// dhcpd keeps no relay data by itself, but it keeps what `on commit { set NAME = … }` says: deploy/examples/iscdhcp has the recipe,
// Variable what its names mean. Of the outermost relay it gives the link-address and peer-address, of each of up to four relays
// the options; dhcpd has no way to give the addresses of the relays between. So these are stated as ::.
//
// A block that cannot be read is reported as a *RecordError, counted, and costs only itself.
package iscdhcp
