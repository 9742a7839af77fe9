// Package requestor is the client side of bulk leasequery: it connects to a server, asks a query of any type and streams the
// clients of the answer. Several servers can be asked in turn until one of them has answered whole.
//
// The law is RFC 5460 section 6, with RFC 5007 4.3 for what a reply must hold and RFC 7653 6.3 for base, start and end times.
// There is no resume in it: an answer that broke off is asked again from the start, and until LEASEQUERY-DONE has come nothing
// is known to be complete. That is why QueryAny keeps an answer to itself until it is whole, unless told otherwise.
//
// With Config.TLS every connection begins with STARTTLS (RFC 7653 8.2), and nothing is asked unless TLS came of it.
//
// A server that dies without a word is noticed in three ways. Its address has moved: its new owner resets the connection at the
// next keepalive probe, within a second. Its host is gone: nothing is acknowledged for Config.UserTimeout. Its kernel lives and
// it hangs: only time tells, and RFC 5460 5.6 recommends 300 s at least; so QueryAny does not give it up but asks the next server
// beside it, after Config.Patience.
package requestor
