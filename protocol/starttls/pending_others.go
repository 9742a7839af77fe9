//go:build !linux

package starttls

// unread is not asked for here: what has come early goes to the handshake, and breaks it.
func unread(uintptr) int { return 0 }
