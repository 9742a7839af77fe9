package main

import (
	"encoding/binary"
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// Defects of the dissector (tshark 4.0) on correct messages. Each has a proof: a packet made from the RFC's text that it
// complains about all the same. Nothing else that it complains about is allowed.
const (
	defectEmptyDone   = "a message of 4 octets, as LEASEQUERY-DONE (RFC 5460 5.2.2) and STARTTLS (RFC 7653 6.2.2) are, is shown as malformed"
	defectRelayData   = "the message in OPTION_LQ_RELAY_DATA is read as text, and has \"Trailing stray characters\""
	defectActiveTypes = "REPLY, ACTIVELEASEQUERY and STARTTLS over TCP, which RFC 7653 brought, are not allowed"
	defectTypesByUDP  = "query types 3 to 5 over UDP, which are to be answered (RFC 5007 4.4.1), are shown as malformed"
	defectFQDN        = "OPTION_CLIENT_FQDN in OPTION_CLIENT_DATA, which the ORO of a query may ask for (RFC 5007 4.1.2.2), is not permitted"
)

// expertDefects are the defects by what tshark says then.
var expertDefects = map[string]string{
	"Message Type 7 not allowed by DHCPv6 Bulk Leasequery":         defectActiveTypes,
	"Message Type 22 not allowed by DHCPv6 Bulk Leasequery":        defectActiveTypes,
	"Message Type 23 not allowed by DHCPv6 Bulk Leasequery":        defectActiveTypes,
	"LQ-QUERY: Query types only supported by Bulk Leasequery":      defectTypesByUDP,
	"This message type is not permitted to use OPTION_CLIENT_FQDN": defectFQDN,
}

// dissected is one leasequery message as tshark reads it: the fields by name, each with its values in order. Over UDP the messages
// that relays' messages carry are in the same one.
type dissected struct {
	udp    bool
	kind   int // the outermost message's
	fields map[string][]string
}

// complaint is something that tshark does not like.
type complaint struct {
	text   string
	defect string // which of the known defects it is; empty for none
}

func requireTshark(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not installed (Debian package tshark)")
	}
}

// dissect has tshark read a capture of a leasequery server's port.
func dissect(t *testing.T, capture string, port uint16) (messages []dissected, complaints []complaint) {
	t.Helper()
	cmd := exec.Command("tshark", "-r", capture, "-d", "tcp.port=="+strconv.Itoa(int(port))+",dhcpv6.bulk_leasequery",
		"-d", "udp.port=="+strconv.Itoa(int(port))+",dhcpv6", "-T", "pdml")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(out)
	depth := 0 // of elements: a packet's protocols are at the third
	var here *dissected
	option, protocol := "", ""
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("read what tshark says: %v", err)
		}
		if _, ok := token.(xml.EndElement); ok {
			depth--
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		depth++
		name, show := attribute(e, "name"), attribute(e, "show")
		switch {
		case e.Name.Local == "packet":
			here, protocol = nil, ""
		case e.Name.Local == "proto" && name == "dhcpv6.bulk_leasequery":
			messages = append(messages, dissected{fields: map[string][]string{}})
			here, option, protocol = &messages[len(messages)-1], "", name
		case e.Name.Local == "proto" && name == "dhcpv6" && here == nil: // else it is what a relay's message carries
			messages = append(messages, dissected{udp: true, fields: map[string][]string{}})
			here, option, protocol = &messages[len(messages)-1], "", name
		case e.Name.Local == "proto" && name == "_ws.malformed" && depth > 3: // marks the field whose expert's message tells why
		case e.Name.Local == "proto" && name == "_ws.malformed":
			c := complaint{text: "malformed packet"}
			if here != nil && (here.kind == 16 || here.kind == 23) && here.first("dhcpv6.bulk_leasequery.size") == "4" {
				c.defect = defectEmptyDone
			}
			complaints, protocol = append(complaints, c), name
		case e.Name.Local == "proto":
			protocol = name
		case name == "_ws.expert.message" && (protocol == "dhcpv6.bulk_leasequery" || protocol == "dhcpv6"):
			c := complaint{text: show, defect: expertDefects[show]}
			switch {
			case option == "47" && show == "Trailing stray characters":
				c.defect = defectRelayData
			case c.defect == defectTypesByUDP && !here.udp, c.defect == defectFQDN && option != "39":
				c.defect = ""
			}
			complaints = append(complaints, c)
		case here != nil && name != "":
			if name == "dhcpv6.option.type" {
				option = show
			}
			if name == "dhcpv6.bulk_leasequery.msgtype" || name == "dhcpv6.msgtype" && here.kind == 0 {
				here.kind, _ = strconv.Atoi(show) // a number: the dissector's own
			}
			here.fields[name] = append(here.fields[name], show)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("tshark: %v", err)
	}
	return messages, complaints
}

func (d *dissected) first(name string) string {
	if v := d.fields[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// writeCapture makes a capture of one TCP segment with the payload, from a server's port.
func writeCapture(t *testing.T, port uint16, payload []byte) string {
	t.Helper()
	tcp := binary.BigEndian.AppendUint16(nil, port)
	tcp = binary.BigEndian.AppendUint16(tcp, 40000)
	tcp = append(tcp, 0, 0, 0, 1, 0, 0, 0, 1, 5<<4, 0x18, 0xff, 0xff, 0, 0, 0, 0)
	return writePackets(t, 6, append(tcp, payload...))
}

// writeDatagrams makes a capture of UDP datagrams with the payloads, from a server's port.
func writeDatagrams(t *testing.T, port uint16, payloads ...[]byte) string {
	t.Helper()
	var all [][]byte
	for _, p := range payloads {
		udp := binary.BigEndian.AppendUint16(nil, port)
		udp = binary.BigEndian.AppendUint16(udp, 40000)
		udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(p)))
		all = append(all, append(append(udp, 0, 0), p...))
	}
	return writePackets(t, 17, all...)
}

// writePackets makes a capture of IPv6 packets of a protocol.
func writePackets(t *testing.T, protocol byte, payloads ...[]byte) string {
	t.Helper()
	be, le := binary.BigEndian, binary.LittleEndian
	const linktypeIPv6 = 229
	file := le.AppendUint32(nil, 0xa1b2c3d4)
	file = append(file, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0)
	file = le.AppendUint32(file, linktypeIPv6)
	for _, p := range payloads {
		packet := append([]byte{6 << 4, 0, 0, 0}, be.AppendUint16(nil, uint16(len(p)))...)
		packet = append(packet, protocol, 64)
		for range 2 {
			a := netip.IPv6Loopback().As16()
			packet = append(packet, a[:]...)
		}
		packet = append(packet, p...)
		file = append(file, make([]byte, 8)...)
		file = le.AppendUint32(file, uint32(len(packet)))
		file = le.AppendUint32(file, uint32(len(packet)))
		file = append(file, packet...)
	}
	name := filepath.Join(t.TempDir(), "proof.pcap")
	if err := os.WriteFile(name, file, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}
