package leasetest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// DHCPDLease is a lease as ReadDHCPD has it.
type DHCPDLease struct {
	Kind        string // ia-na, ia-ta or ia-pd
	DUID        string // octets
	IAID        uint32
	Preferred   uint32
	Valid       uint32
	Transaction time.Time         // cltt
	Set         map[string]string // as written, without quotes
}

var (
	dhcpdHead = regexp.MustCompile(`^(ia-..) (.*) \{$`)
	dhcpdAddr = regexp.MustCompile(`^  (?:iaaddr|iaprefix) (\S+) \{$`)
	dhcpdLine = regexp.MustCompile(`^    (binding state|preferred-life|max-life|ends|set) ?(.*);$`)
	dhcpdSet  = regexp.MustCompile(`^(\S+) = "(.*)"$`)
)

// dhcpdKey decodes a key by strconv, whose octal escapes are those of dhcpd.
func dhcpdKey(text string) (string, error) {
	if strings.HasPrefix(text, `"`) {
		return strconv.Unquote(text)
	}
	var b strings.Builder
	for part := range strings.SplitSeq(text, ":") {
		n, err := strconv.ParseUint(part, 16, 8)
		if err != nil {
			return "", err
		}
		b.WriteByte(byte(n))
	}
	return b.String(), nil
}

// dhcpdState is what a block says last of an address.
type dhcpdState struct {
	DHCPDLease
	active bool
	ends   time.Time
}

// take takes one of the lines of an address. What dhcpd does not write reads as zero.
func (s *dhcpdState) take(name, value string) {
	number := func() uint32 {
		n, _ := strconv.ParseUint(value, 10, 32)
		return uint32(n)
	}
	switch name {
	case "binding state":
		s.active = value == "active"
	case "preferred-life":
		s.Preferred = number()
	case "max-life":
		s.Valid = number()
	case "ends":
		s.ends = time.Unix(1<<40, 0)
		if value != "never" {
			s.ends, _ = time.Parse("2006/01/02 15:04:05", value[2:])
		}
	case "set":
		if m := dhcpdSet.FindStringSubmatch(value); m != nil {
			s.Set[m[1]] = m[2]
		}
	}
}

// ReadDHCPD reads a whole lease file that dhcpd wrote on a little-endian machine, line by line, knowing nothing but the lines that dhcpd
// writes: what is active in the last block of each (kind, key, address), and has not ended at now. It is simple, to hold the reader of
// feed/iscdhcp against it. The error is of a key that dhcpd does not write.
func ReadDHCPD(text string, now time.Time) (map[netip.Prefix]DHCPDLease, error) {
	type id struct{ kind, key, address string }
	last := map[id]dhcpdState{}
	var at id
	var cltt time.Time
	var s dhcpdState
	for line := range strings.SplitSeq(text, "\n") {
		if m := dhcpdHead.FindStringSubmatch(line); m != nil {
			key, err := dhcpdKey(m[2])
			if err != nil || len(key) < 5 {
				return nil, fmt.Errorf("read dhcpd's leases: key %s: %w", m[2], err)
			}
			at.kind, at.key = m[1], key
		} else if rest, ok := strings.CutPrefix(line, "  cltt "); ok {
			cltt, _ = time.Parse("2006/01/02 15:04:05;", rest[2:])
		} else if m := dhcpdAddr.FindStringSubmatch(line); m != nil {
			at.address = m[1]
			s = dhcpdState{DHCPDLease: DHCPDLease{Kind: at.kind, DUID: at.key[4:], IAID: binary.LittleEndian.Uint32([]byte(at.key)), Transaction: cltt, Set: map[string]string{}}}
		} else if line == "  }" {
			last[at] = s
		} else if m := dhcpdLine.FindStringSubmatch(line); m != nil {
			s.take(m[1], m[2])
		}
	}
	out := map[netip.Prefix]DHCPDLease{}
	for k, s := range last {
		if !s.active || !s.ends.After(now) {
			continue
		}
		p, err := netip.ParsePrefix(k.address)
		if err != nil {
			p = netip.PrefixFrom(netip.MustParseAddr(k.address), 128)
		}
		if other, ok := out[p]; !ok || other.Transaction.Before(s.Transaction) {
			out[p] = s.DHCPDLease
		}
	}
	return out, nil
}
