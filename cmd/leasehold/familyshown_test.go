package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// shownMessage notes what tshark is to show of a message: field by field, in order, from the octets alone. typeField is what the
// outermost message's type is shown as. What relay data holds is noted in chains.
func shownMessage(into map[string][]string, b []byte, typeField string, chains map[string]bool) {
	note := func(name, value string) { into[name] = append(into[name], value) }
	note(typeField, strconv.Itoa(int(b[0])))
	rest := b[4:]
	if b[0] == 12 || b[0] == 13 {
		note("dhcpv6.hopcount", strconv.Itoa(int(b[1])))
		note("dhcpv6.linkaddr", shownAddr(b[2:18]))
		note("dhcpv6.peeraddr", shownAddr(b[18:34]))
		rest = b[34:]
	} else {
		note("dhcpv6.xid", fmt.Sprintf("0x%06x", binary.BigEndian.Uint32(b)&0xffffff))
	}
	for _, o := range tlvs(rest) {
		shownOption(into, o, chains)
	}
}

func shownOption(into map[string][]string, o tlv, chains map[string]bool) {
	note := func(name, value string) { into[name] = append(into[name], value) }
	number := func(b []byte) string { return strconv.FormatUint(uint64(binary.BigEndian.Uint32(b)), 10) }
	short := func(b []byte) string { return strconv.Itoa(int(binary.BigEndian.Uint16(b))) }
	v := o.value
	note("dhcpv6.option.type", strconv.Itoa(int(o.code)))
	note("dhcpv6.option.length", strconv.Itoa(len(v)))
	switch o.code {
	case 1, 2, 53:
		note("dhcpv6.duid.bytes", shownOctets(v))
	case 5:
		note("dhcpv6.iaaddr.ip", shownAddr(v[:16]))
		note("dhcpv6.iaaddr.pref_lifetime", number(v[16:]))
		note("dhcpv6.iaaddr.valid_lifetime", number(v[20:]))
	case 9:
		shownMessage(into, v, "dhcpv6.msgtype", chains)
	case 13:
		note("dhcpv6.status_code", short(v))
		if len(v) > 2 {
			note("dhcpv6.status_msg", string(v[2:]))
		}
	case 18:
		note("dhcpv6.interface_id", shownOctets(v))
	case 26:
		note("dhcpv6.iaprefix.pref_lifetime", number(v))
		note("dhcpv6.iaprefix.valid_lifetime", number(v[4:]))
		note("dhcpv6.iaprefix.pref_len", strconv.Itoa(int(v[8])))
		note("dhcpv6.iaprefix.pref_addr", shownAddr(v[9:25]))
	case 37:
		note("dhcpv6.remoteid.enterprise", number(v))
		note("dhcpv6.remoteid_enterprise_id", shownOctets(v[4:]))
	case 45:
		for _, inner := range tlvs(v) {
			shownOption(into, inner, chains)
		}
	case 46:
		note("dhcpv6.clt_time", number(v))
	case 47:
		note("dhcpv6.lq_relay_data_peer_addr", shownAddr(v[:16]))
		chains[string(v[16:])] = true
	case 48:
		for ; len(v) >= 16; v = v[16:] {
			note("dhcpv6.lq_client_link", shownAddr(v[:16]))
		}
	case 135:
		note("dhcpv6.relay_port", short(v))
	}
}

func shownAddr(b []byte) string { return netip.AddrFrom16([16]byte(b)).String() }

// shownOctets is hexadecimal with colons.
func shownOctets(b []byte) string {
	var out []string
	for _, o := range b {
		out = append(out, hex.EncodeToString([]byte{o}))
	}
	return strings.Join(out, ":")
}
