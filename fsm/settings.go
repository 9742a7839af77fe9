package fsm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
)

// Settings are the cluster's own, replicated settings: everything that Apply and answers read and that must be the same on every
// node.
type Settings struct {
	ClusterID  string        // a UUID in lower case (RFC 9562 4); set once, when the cluster is founded
	ServerDUID []byte        // what SERVERID says (RFC 8415 11), 3 to 130 octets; set once
	CatchUp    time.Duration // for how long ends and the order of changes are kept for active leasequery; whole milliseconds, 1 s to 24 h
}

// The bounds of Settings.CatchUp, and what it is before the cluster is founded.
const (
	MinCatchUp     = time.Second
	MaxCatchUp     = 24 * time.Hour
	DefaultCatchUp = 600 * time.Second
)

// ErrSettled is why an entry that would change the cluster's id or server DUID is refused.
var ErrSettled = errors.New("set once, when the cluster was founded")

// minServerDUID is the shortest DUID that we make or take: two octets of type and something behind.
const minServerDUID = 3

// Validate tells why the settings may not be proposed: an error that wraps binding.ErrInvalid and names the field, or nil.
func (s Settings) Validate() error {
	if _, err := parseUUID(s.ClusterID); err != nil {
		return fmt.Errorf("cluster id: %w", err)
	}
	switch {
	case len(s.ServerDUID) < minServerDUID || len(s.ServerDUID) > binding.MaxDUID:
		return fmt.Errorf("%w: server duid of %d octets, want %d to %d", binding.ErrInvalid, len(s.ServerDUID), minServerDUID, binding.MaxDUID)
	case s.CatchUp < MinCatchUp || s.CatchUp > MaxCatchUp || s.CatchUp%time.Millisecond != 0:
		return fmt.Errorf("%w: catch-up of %v, want %v to %v in whole milliseconds", binding.ErrInvalid, s.CatchUp, MinCatchUp, MaxCatchUp)
	}
	return nil
}

// AppendSettings appends an entry with the cluster's settings. The first one in a log founds the cluster; later ones may change
// only what is not set once. The error wraps binding.ErrInvalid.
func AppendSettings(dst []byte, s Settings) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return dst, fmt.Errorf("settings entry: %w", err)
	}
	return s.append(appendEntryHeader(dst, TypeSettings)), nil
}

// The octets of valid settings, in an entry and in a snapshot: the cluster's UUID, 16; the server DUID behind its length, a
// varint; the catch-up window in milliseconds, a varint.
func (s Settings) append(dst []byte) []byte {
	id, _ := parseUUID(s.ClusterID)
	dst = appendText(append(dst, id[:]...), s.ServerDUID)
	return binary.AppendUvarint(dst, uint64(s.CatchUp.Milliseconds()))
}

func parseSettings(b []byte) (Settings, error) {
	c := newCursor(b)
	id := c.take(16, "cluster id")
	s := Settings{ServerDUID: bytes.Clone(c.octets(binding.MaxDUID, "server duid"))}
	ms := c.uvarint("catch-up")
	if err := c.err(); err != nil {
		return Settings{}, err
	}
	s.ClusterID = formatUUID([16]byte(id))
	s.CatchUp = time.Duration(min(ms, uint64(MaxCatchUp.Milliseconds())+1)) * time.Millisecond
	if err := s.Validate(); err != nil {
		return Settings{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return s, nil
}

// change is the settings after next was applied to s, or why it is refused.
func (s Settings) change(next Settings) (Settings, error) {
	switch {
	case s.ClusterID == "":
		return next, nil
	case s.ClusterID != next.ClusterID:
		return s, fmt.Errorf("cluster id %s in place of %s: %w", next.ClusterID, s.ClusterID, ErrSettled)
	case !bytes.Equal(s.ServerDUID, next.ServerDUID):
		return s, fmt.Errorf("server duid %s in place of %s: %w",
			binding.FormatDUID(next.ServerDUID), binding.FormatDUID(s.ServerDUID), ErrSettled)
	}
	return next, nil
}

func (s Settings) clone() Settings {
	s.ServerDUID = bytes.Clone(s.ServerDUID)
	return s
}

func formatUUID(u [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func parseUUID(s string) (u [16]byte, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != 16 {
		return u, fmt.Errorf("%w: %q is not a UUID", binding.ErrInvalid, s)
	}
	u = [16]byte(b)
	if formatUUID(u) != s || u == [16]byte{} {
		return u, fmt.Errorf("%w: %q is not a UUID in lower case", binding.ErrInvalid, s)
	}
	return u, nil
}
