// Package authority is a small certificate authority, for deployments that have none of their own: it makes its own certificate, and
// certificates for the nodes of a cluster and for requestors, with ECDSA keys on P-256 (RFC 9325 4.5). The names stand in the subject
// alternative name, where package starttls looks for them. It keeps nothing and revokes nothing: whoever runs it keeps the files.
package authority
