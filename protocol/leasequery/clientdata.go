package leasequery

import (
	"encoding/binary"
	"slices"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// Octets of the options that a binding makes, headers included.
const (
	addressOctets = optionHeader + 24 // OPTION_IAADDR (RFC 8415 21.6)
	prefixOctets  = optionHeader + 25 // OPTION_IAPREFIX (RFC 8415 21.22)
	cltOctets     = optionHeader + 4  // OPTION_CLT_TIME (RFC 5007 4.1.2.3)
)

// maxTrailer bounds the client options and relay data in one message, in octets, so that bindings always have room beside them.
// What a source may give with a binding is less than half of it: what goes above is left out.
const maxTrailer = 48 << 10

// portrait is what is said of one client in one or more messages.
type portrait struct {
	client    binding.Client
	shown     []int        // indexes of the entries that are shown, in order
	next      int          // the first of shown that no message has had yet
	newest    binding.Time // newest transaction of what is shown
	exit      bool         // whether all of it is told as ended
	told      keyed        // the newest that was told
	temporary bool         // whether the client has, or had, temporary addresses
	trailer   []byte       // client options and relay data, the same in all messages
	outside   int          // octets at the end of trailer that stand behind the option rather than in it
}

// examine finds out what to show of p.client: every binding in force that the requestor may see, if one of them is what the
// query looks for.
func (a *Answer) examine() bool {
	p := &a.portrait
	p.shown, p.next, p.newest, p.exit = p.shown[:0], 0, 0, false
	a.restrictor.forget()
	var match, described *binding.Entry
	for i := range p.client.Entries {
		e := &p.client.Entries[i]
		if !a.inForce(e) || !a.restrictor.permits(a.view, p.client.Link, e) {
			continue
		}
		if len(p.shown) == 0 || e.LastTransaction > p.newest {
			p.newest = e.LastTransaction
		}
		p.shown = append(p.shown, i)
		if a.matches(e) && (match == nil || e.LastTransaction > match.LastTransaction ||
			e.LastTransaction == match.LastTransaction && len(match.Chain) == 0) {
			match = e
		}
		if len(e.Options) > 0 && (described == nil || e.LastTransaction > described.LastTransaction) {
			described = e
		}
	}
	if match == nil {
		return false
	}
	a.appendTrailer(match, described)
	return true
}

// appendTrailer makes the trailer of the portrait anew: the relay data of match, the options of described; either may be nil.
func (a *Answer) appendTrailer(match, described *binding.Entry) {
	p := &a.portrait
	p.trailer, p.outside = p.trailer[:0], 0
	if described != nil && len(a.requested) > 0 {
		p.trailer = a.appendClientOptions(p.trailer, described.Options)
	}
	if a.relayData && match != nil && len(match.Chain) > 0 {
		before := len(p.trailer)
		p.trailer = appendRelayData(p.trailer, match.Chain, a.hidden)
		if a.beside {
			p.outside = len(p.trailer) - before
		}
	}
}

// inForce tells whether a binding is in force: neither ended nor run out.
func (a *Answer) inForce(e *binding.Entry) bool {
	return e.State == binding.Active && binding.Remaining(e.Valid, e.LastTransaction, a.now) > 0
}

// matches tells whether an entry of a selected client is itself what the query looks for.
func (a *Answer) matches(e *binding.Entry) bool {
	switch a.selection.By {
	case binding.ByAddress:
		if a.around.IsValid() {
			return e.Prefix.Contains(a.around)
		}
		return e.Prefix == a.selection.Key.Prefix && (e.Kind == binding.PD) == a.selection.Key.Delegated
	case binding.ByRelayID:
		return e.Chain.HasRelayID(a.selection.Value)
	case binding.ByRemoteID:
		return e.Chain.HasRemoteID(a.selection.Value)
	}
	return true
}

// appendClientOptions appends what the query asked for of the options that the source gave with the client.
func (a *Answer) appendClientOptions(dst, options []byte) []byte {
	for code, v := range binding.Options(options) {
		c := dhcpv6.OptionCode(code)
		if ofRelay(c) || a.hidden.has(code) || len(dst)+optionHeader+len(v) > maxTrailer {
			continue
		}
		if _, asked := slices.BinarySearch(a.requested, c); asked {
			dst = append(appendHeader(dst, c, len(v)), v...)
		}
	}
	return dst
}

// ofRelay tells whether an option is not a client's: one that a relay adds, which shows only in the relay data, or one that
// OPTION_CLIENT_DATA or a message is made of.
func ofRelay(c dhcpv6.OptionCode) bool {
	switch c {
	case dhcpv6.OptionInterfaceID, dhcpv6.OptionRemoteID, dhcpv6.OptionSubscriberID, dhcpv6.OptionRelayID, dhcpv6.OptionVSS,
		dhcpv6.OptionClientLinkLayer, dhcpv6.OptionERO, dhcpv6.OptionRelaySourcePort, dhcpv6.OptionRelayMessage,
		dhcpv6.OptionClientID, dhcpv6.OptionServerID, dhcpv6.OptionIAAddr, dhcpv6.OptionIAPrefix, dhcpv6.OptionCLTTime,
		dhcpv6.OptionClientData, dhcpv6.OptionLQRelayData, dhcpv6.OptionLQQuery, dhcpv6.OptionLQClientLink,
		dhcpv6.OptionORO, dhcpv6.OptionStatusCode, dhcpv6.OptionLQBaseTime, dhcpv6.OptionLQStartTime, dhcpv6.OptionLQEndTime:
		return true
	}
	return false
}

// appendClientData appends one OPTION_CLIENT_DATA (RFC 5007 4.1.2.2) with as many of the bindings left as the message, whose
// first octet is dst[start], has room for.
func (a *Answer) appendClientData(dst []byte, start int) []byte {
	p := &a.portrait
	dst = append(dst, byte(dhcpv6.OptionClientData>>8), byte(dhcpv6.OptionClientData), 0, 0)
	mark := len(dst)
	dst = append(appendHeader(dst, dhcpv6.OptionClientID, len(p.client.DUID)), p.client.DUID...)
	room := start + a.room() - cltOctets - len(p.trailer)
	for ; p.next < len(p.shown) && len(dst)+prefixOctets <= room; p.next++ {
		e := &p.client.Entries[p.shown[p.next]]
		p.told.of(e)
		if p.exit || e.State != binding.Active {
			dst = appendEnd(dst, e)
		} else {
			dst = appendBinding(dst, e, a.now)
		}
	}
	dst = append(appendHeader(dst, dhcpv6.OptionCLTTime, 4), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(dst[len(dst)-4:], secondsSince(p.newest, a.now))
	inside := len(p.trailer) - p.outside
	dst = append(dst, p.trailer[:inside]...)
	binary.BigEndian.PutUint16(dst[mark-2:], uint16(len(dst)-mark))
	return append(dst, p.trailer[inside:]...)
}

// appendBinding appends the OPTION_IAADDR or OPTION_IAPREFIX of a binding, with what remains of its lifetimes.
func appendBinding(dst []byte, e *binding.Entry, now binding.Time) []byte {
	valid := binding.Remaining(e.Valid, e.LastTransaction, now)
	return appendLifetimes(dst, e, min(binding.Remaining(e.Preferred, e.LastTransaction, now), valid), valid)
}

// appendEnd appends the OPTION_IAADDR or OPTION_IAPREFIX of a binding that the client has no more: both lifetimes are 0.
func appendEnd(dst []byte, e *binding.Entry) []byte { return appendLifetimes(dst, e, 0, 0) }

func appendLifetimes(dst []byte, e *binding.Entry, preferred, valid uint32) []byte {
	octets := e.Prefix.Addr().As16()
	if e.Kind != binding.PD {
		dst = append(dst, 0, byte(dhcpv6.OptionIAAddr), 0, addressOctets-optionHeader)
		dst = append(dst, octets[:]...)
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(dst, preferred), valid)
	}
	dst = append(dst, 0, byte(dhcpv6.OptionIAPrefix), 0, prefixOctets-optionHeader)
	dst = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(dst, preferred), valid)
	return append(append(dst, byte(e.Prefix.Bits())), octets[:]...)
}

// secondsSince is whole seconds from t to now, not below 0.
func secondsSince(t, now binding.Time) uint32 {
	return uint32(min(max(0, (int64(now)-int64(t))/1000), 1<<32-1))
}
