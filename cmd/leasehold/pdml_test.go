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
	defectEmptyDone = "a LEASEQUERY-DONE of 4 octets, which RFC 5460 5.2.2 asks for, is shown as malformed"
	defectRelayData = "the message in OPTION_LQ_RELAY_DATA is read as text, and has \"Trailing stray characters\""
)

// dissected is one bulk leasequery message as tshark reads it: the fields by name, each with its values in order.
type dissected struct {
	kind   int
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

// dissect has tshark read a capture of a bulk leasequery server's port.
func dissect(t *testing.T, capture string, port uint16) (messages []dissected, complaints []complaint) {
	t.Helper()
	cmd := exec.Command("tshark", "-r", capture, "-d", "tcp.port=="+strconv.Itoa(int(port))+",dhcpv6.bulk_leasequery", "-T", "pdml")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(out)
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
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		name, show := attribute(e, "name"), attribute(e, "show")
		switch {
		case e.Name.Local == "packet":
			here, protocol = nil, ""
		case e.Name.Local == "proto" && name == "dhcpv6.bulk_leasequery":
			messages = append(messages, dissected{fields: map[string][]string{}})
			here, option, protocol = &messages[len(messages)-1], "", name
		case e.Name.Local == "proto" && name == "_ws.malformed":
			c := complaint{text: "malformed packet"}
			if here != nil && here.kind == 16 && here.first("dhcpv6.bulk_leasequery.size") == "4" {
				c.defect = defectEmptyDone
			}
			complaints, protocol = append(complaints, c), name
		case e.Name.Local == "proto":
			protocol = name
		case name == "_ws.expert.message" && protocol == "dhcpv6.bulk_leasequery":
			c := complaint{text: show}
			if option == "47" && show == "Trailing stray characters" {
				c.defect = defectRelayData
			}
			complaints = append(complaints, c)
		case here != nil && name != "":
			if name == "dhcpv6.option.type" {
				option = show
			}
			if name == "dhcpv6.bulk_leasequery.msgtype" {
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
	be, le := binary.BigEndian, binary.LittleEndian
	tcp := be.AppendUint16(nil, port)
	tcp = be.AppendUint16(tcp, 40000)
	tcp = append(tcp, 0, 0, 0, 1, 0, 0, 0, 1, 5<<4, 0x18, 0xff, 0xff, 0, 0, 0, 0)
	tcp = append(tcp, payload...)
	packet := append([]byte{6 << 4, 0, 0, 0}, be.AppendUint16(nil, uint16(len(tcp)))...)
	packet = append(packet, 6, 64)
	for range 2 {
		a := netip.IPv6Loopback().As16()
		packet = append(packet, a[:]...)
	}
	packet = append(packet, tcp...)
	const linktypeIPv6 = 229
	file := le.AppendUint32(nil, 0xa1b2c3d4)
	file = append(file, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0)
	file = le.AppendUint32(file, linktypeIPv6)
	file = append(file, make([]byte, 8)...)
	file = le.AppendUint32(file, uint32(len(packet)))
	file = le.AppendUint32(file, uint32(len(packet)))
	name := filepath.Join(t.TempDir(), "proof.pcap")
	if err := os.WriteFile(name, append(file, packet...), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}
