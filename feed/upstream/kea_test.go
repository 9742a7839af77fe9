package upstream

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	iana "github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// recorded is one query to Kea 3.3's lease_query hook, and its answer.
type recorded struct {
	query   dhcpv6.Message
	answers []dhcpv6.Message
}

// recordings reads the capture of bulk leasequeries: Ethernet, IPv6, TCP, in order and nothing twice. A connection is one query.
func recordings(t *testing.T) (out []recorded) {
	t.Helper()
	b, err := os.ReadFile("../../protocol/dhcpv6/testdata/kea-3.3/bulk-leasequery.pcap")
	if err != nil {
		t.Fatal(err)
	}
	streams := map[[36]byte][]byte{} // by addresses and ports
	var order [][36]byte
	for b = b[24:]; len(b) > 0; {
		n := binary.LittleEndian.Uint32(b[8:])
		packet := b[16 : 16+n]
		b = b[16+n:]
		ip := packet[14:]
		tcp := ip[40 : 40+binary.BigEndian.Uint16(ip[4:])]
		key := [36]byte(append(bytes.Clone(ip[8:40]), tcp[:4]...))
		payload := tcp[tcp[12]>>4*4:]
		if _, known := streams[key]; !known {
			order = append(order, key)
		}
		streams[key] = append(streams[key], payload...)
	}
	read := func(stream []byte) (all []dhcpv6.Message) {
		frames := dhcpv6.NewReader(bytes.NewReader(stream), nil)
		for {
			frame, err := frames.Next()
			if err == io.EOF {
				return all
			}
			if err != nil {
				t.Fatal(err)
			}
			m, err := dhcpv6.ParseMessage(bytes.Clone(frame))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
	}
	for _, key := range order {
		if binary.BigEndian.Uint16(key[34:]) == 547 || binary.BigEndian.Uint16(key[32:]) != 547 { // of a requestor
			back := [36]byte(append(append(bytes.Clone(key[16:32]), key[:16]...), append(bytes.Clone(key[34:]), key[32:34]...)...))
			answers := read(streams[back])
			for _, q := range read(streams[key]) {
				r := recorded{query: q}
				for _, a := range answers {
					if a.TransactionID == q.TransactionID {
						r.answers = append(r.answers, a)
					}
				}
				out = append(out, r)
			}
		}
	}
	return out
}

// seen is a binding as an independent reader finds it in the answers.
type seen struct {
	DUID, Relays     string
	Valid, Preferred uint32 // as granted
}

// read reads an answer with another decoder, as far as that knows its options.
func (r *recorded) read(t *testing.T, into map[string]seen) {
	t.Helper()
	for _, m := range r.answers {
		data, ok := m.Options.First(dhcpv6.OptionClientData)
		if !ok {
			continue
		}
		var options iana.Options
		if err := options.FromBytes(data); err != nil {
			t.Fatal(err)
		}
		get := func(code iana.OptionCode) []byte { return options.GetOne(code).ToBytes() }
		clt := binary.BigEndian.Uint32(get(iana.OptionCLTTime))
		s := seen{DUID: string(get(iana.OptionClientID))}
		if o := options.GetOne(iana.OptionLQRelayData); o != nil {
			b := o.ToBytes()
			s.Relays = "from " + netip.AddrFrom16([16]byte(b[:16])).String() + readRelays(t, b[16:])
		}
		for _, o := range options.Get(iana.OptionIAAddr) {
			b := o.ToBytes()
			s.Preferred, s.Valid = binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
			add(into, netip.PrefixFrom(netip.AddrFrom16([16]byte(b)), 128), s, clt)
		}
		for _, o := range options.Get(iana.OptionIAPrefix) {
			b := o.ToBytes()
			s.Preferred, s.Valid = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
			add(into, netip.PrefixFrom(netip.AddrFrom16([16]byte(b[9:])), int(b[8])), s, clt)
		}
	}
}

// add notes a binding in force.
func add(into map[string]seen, p netip.Prefix, s seen, clt uint32) {
	if s.Valid == 0 || len(s.DUID) < 4 {
		return
	}
	if s.Preferred = min(s.Preferred, s.Valid); s.Preferred > 0 && s.Preferred < 1<<31 {
		s.Preferred += clt
	}
	if s.Valid < 1<<31 {
		s.Valid += clt
	}
	into[p.String()] = s
}

func readRelays(t *testing.T, b []byte) (out string) {
	t.Helper()
	for b != nil {
		m, err := iana.RelayMessageFromBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		link, _ := netip.AddrFromSlice(m.LinkAddr.To16())
		peer, _ := netip.AddrFromSlice(m.PeerAddr.To16())
		var options []byte
		b = nil
		for _, o := range m.Options.Options {
			v := o.ToBytes()
			if o.Code() == iana.OptionRelayMsg {
				b = v
				continue
			}
			options = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(options, uint16(o.Code())), uint16(len(v)))
			options = append(options, v...)
		}
		out += fmt.Sprintf(", %d %v %v %x", m.HopCount, link, peer, options)
	}
	return out
}

// What Kea 3.3 answered becomes the bindings that another decoder finds in it.
func TestRecordedAnswersOfKea(t *testing.T) {
	all := recordings(t)
	if len(all) != 8 {
		t.Fatalf("%d queries in the capture, want 8", len(all))
	}
	synctest.Test(t, func(t *testing.T) {
		stage := newStage(t, map[string][]script{})
		config, want := Config{}, map[string]seen{}
		var own dhcpv6.Options
		for i := range all {
			r := &all[i]
			if status, _ := r.answers[0].Options.First(dhcpv6.OptionStatusCode); len(status) > 1 && status[1] != 0 {
				continue
			}
			own, _ = r.query.Options.First(dhcpv6.OptionClientID)
			config.add(t, r.query)
			r.read(t, want)
			stage.add("kea", func(p *peer) { playRecorded(p, all) })
		}
		config.Servers, config.Requestor.ClientID, config.Requestor.Dial = []string{"kea"}, own, stage.dial
		s, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, m) }()
		m.until(ctx, "the statement is whole", func() bool { return m.ends() == 1 })
		cancel()
		<-ended
		got := map[string]seen{}
		for p, h := range m.held {
			got[p.prefix().String()] = seen{h.duid, h.relays, h.valid, h.preferred}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("bindings (-want +got):\n%s", diff)
		}
		t.Logf("%d queries, %d bindings, %+v", len(s.queries), len(got), s.Condition())
		if len(got) < 100 {
			t.Errorf("only %d bindings", len(got))
		}
	})
}

// subject is the type of a query and what it is about.
func subject(t *testing.T, m dhcpv6.Message) (dhcpv6.LQQuery, string) {
	t.Helper()
	value, _ := m.Options.First(dhcpv6.OptionLQQuery)
	q, err := dhcpv6.ParseLQQuery(value)
	if err != nil {
		t.Fatal(err)
	}
	about := fmt.Sprintf("%v %v", q.Type, q.LinkAddress)
	for code, v := range q.Options.All() {
		if code != dhcpv6.OptionORO {
			about += fmt.Sprintf(" %v %x", code, v)
		}
	}
	return q, about
}

// add has a query of the capture asked.
func (c *Config) add(t *testing.T, m dhcpv6.Message) {
	t.Helper()
	q, _ := subject(t, m)
	switch q.Type {
	case dhcpv6.QueryByLinkAddress:
		c.Links = append(c.Links, Link{Name: q.LinkAddress.String(), Ask: []netip.Addr{q.LinkAddress}})
	case dhcpv6.QueryByRelayID:
		id, _ := q.Options.First(dhcpv6.OptionRelayID)
		c.RelayIDs = append(c.RelayIDs, id)
	case dhcpv6.QueryByClientID:
		id, _ := q.Options.First(dhcpv6.OptionClientID)
		c.ClientIDs = append(c.ClientIDs, id)
	case dhcpv6.QueryByAddress:
		v, _ := q.Options.First(dhcpv6.OptionIAAddr)
		c.Addresses = append(c.Addresses, netip.AddrFrom16([16]byte(v)))
	case dhcpv6.QueryByRemoteID:
		v, _ := q.Options.First(dhcpv6.OptionRemoteID)
		id, err := dhcpv6.ParseRemoteID(v)
		if err != nil {
			t.Fatal(err)
		}
		c.RemoteIDs = append(c.RemoteIDs, id)
	}
}

// playRecorded answers a query as Kea did.
func playRecorded(p *peer, all []recorded) {
	_, asked := subject(p.t, p.asked)
	for i := range all {
		if _, about := subject(p.t, all[i].query); about != asked {
			continue
		}
		for _, a := range all[i].answers {
			a.TransactionID = p.asked.TransactionID
			b, err := dhcpv6.AppendFrame(nil, a)
			if err != nil {
				p.t.Error(err)
			}
			if _, err := p.conn.Write(b); err != nil {
				return
			}
		}
		return
	}
	p.t.Errorf("%s is not in the capture", asked)
}
