// Package starttls is what both sides need for TLS on the leasequery port: STARTTLS of RFC 7653 (6.2.2, 8.2, 9.1), with the profile of
// RFC 9325 (BCP 195, which took the place of RFC 7525).
//
//   - TLS 1.3 and 1.2, nothing older. In 1.2 only suites that exchange keys by ECDHE and seal by AEAD. X25519, P-256 and P-384, with
//     ML-KEM before them where both sides have it. No compression, no renegotiation, no early data: crypto/tls has none of them for
//     servers.
//   - No session tickets. Connections are few and last, so a handshake saved is worth little; and a resumed session would go on trusting
//     a certificate whose authority has been taken away.
//   - Both sides show a certificate and verify the other's (RFC 7653 9.1: MUST). A server wants extended key usage client, a requestor
//     extended key usage server and the name that it asked for. RSA keys have 2048 bits at least, SHA-1 signatures do not count.
//   - Names come from the subject alternative name alone, never from the common name.
//   - No revocation lists: whoever is to be kept out loses its name in the requestor policy, or its authority in the server's bundle.
//     Both are read anew without a restart, and count from the next handshake on.
//
// Credentials are the server's files, held in memory and looked at again every few seconds. A Conn is a connection that has its
// handshake behind it, made for a sender that writes with short deadlines and goes on afterwards, which a *tls.Conn cannot do. A Client
// is the other side.
package starttls
