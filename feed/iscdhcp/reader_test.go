package iscdhcp

import (
	"encoding/binary"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// plain is a lease as the simple reader has it.
type plain struct {
	key       string // ia-na, octets of IAID and DUID
	preferred uint32
	valid     uint32
	cltt      time.Time
	set       map[string]string // as written, without quotes
}

var (
	plainHead = regexp.MustCompile(`^(ia-..) (.*) \{$`)
	plainAddr = regexp.MustCompile(`^  (?:iaaddr|iaprefix) (\S+) \{$`)
	plainLine = regexp.MustCompile(`^    (binding state|preferred-life|max-life|ends|set) ?(.*);$`)
	plainSet  = regexp.MustCompile(`^(\S+) = "(.*)"$`)
)

// plainOctets decodes a key by strconv, whose octal escapes are those of dhcpd.
func plainOctets(text string) string {
	if !strings.HasPrefix(text, `"`) {
		var b strings.Builder
		for part := range strings.SplitSeq(text, ":") {
			n, err := strconv.ParseUint(part, 16, 8)
			if err != nil {
				panic(err)
			}
			b.WriteByte(byte(n))
		}
		return b.String()
	}
	s, err := strconv.Unquote(text)
	if err != nil {
		panic(err)
	}
	return s
}

// readPlain reads a whole lease file that dhcpd wrote, line by line, knowing nothing but the lines that dhcpd writes: what is active
// in the last block of each (kind, key, address), and has not ended at now.
func readPlain(text string, now time.Time) map[netip.Prefix]plain {
	type id struct{ key, address string }
	type state struct {
		plain
		active bool
		ends   time.Time
	}
	last := map[id]state{}
	var key, address string
	var cltt time.Time
	var s state
	for line := range strings.SplitSeq(text, "\n") {
		if m := plainHead.FindStringSubmatch(line); m != nil {
			key = m[1] + plainOctets(m[2])
		} else if rest, ok := strings.CutPrefix(line, "  cltt "); ok {
			cltt, _ = time.Parse("2006/01/02 15:04:05;", rest[2:])
		} else if m := plainAddr.FindStringSubmatch(line); m != nil {
			address, s = m[1], state{plain: plain{key: key, cltt: cltt, set: map[string]string{}}}
		} else if line == "  }" {
			last[id{key, address}] = s
		} else if m := plainLine.FindStringSubmatch(line); m != nil {
			switch m[1] {
			case "binding state":
				s.active = m[2] == "active"
			case "preferred-life":
				n, _ := strconv.ParseUint(m[2], 10, 32)
				s.preferred = uint32(n)
			case "max-life":
				n, _ := strconv.ParseUint(m[2], 10, 32)
				s.valid = uint32(n)
			case "ends":
				s.ends = time.Unix(1<<40, 0)
				if m[2] != "never" {
					s.ends, _ = time.Parse("2006/01/02 15:04:05", m[2][2:])
				}
			case "set":
				if m := plainSet.FindStringSubmatch(m[2]); m != nil {
					s.set[m[1]] = m[2]
				}
			}
		}
	}
	out := map[netip.Prefix]plain{}
	for k, s := range last {
		if !s.active || !s.ends.After(now) {
			continue
		}
		p, err := netip.ParsePrefix(k.address)
		if err != nil {
			a := netip.MustParseAddr(k.address)
			p = netip.PrefixFrom(a, 128)
		}
		if other, ok := out[p]; !ok || other.cltt.Before(s.cltt) {
			out[p] = s.plain
		}
	}
	return out
}

func (p plain) kind() string { return p.key[:5] }
func (p plain) iaid() uint32 { return binary.LittleEndian.Uint32([]byte(p.key[5:])) }
func (p plain) duid() string { return p.key[9:] }
