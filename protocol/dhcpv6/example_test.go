package dhcpv6_test

import (
	"bytes"
	"fmt"
	"net/netip"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// Ask for everything behind one link, as a frame of bulk leasequery.
func ExampleAppendFrame() {
	options, _ := dhcpv6.ClientID("\x00\x03\x00\x01requestor").AppendBinary(nil) // fits an option
	options, _ = dhcpv6.LQQuery{
		Type: dhcpv6.QueryByLinkAddress, LinkAddress: netip.MustParseAddr("2001:db8:1::"),
	}.AppendBinary(options)
	frame, err := dhcpv6.AppendFrame(nil, dhcpv6.Message{
		Type: dhcpv6.MessageLeasequery, TransactionID: dhcpv6.TransactionID{0, 0, 1}, Options: options,
	})
	fmt.Println(len(frame), err)
	// Output: 44 <nil>
}

// Write a LEASEQUERY-DATA in place and read it back.
func ExampleOpenOption() {
	stream, frame := dhcpv6.OpenFrame(nil)
	stream = dhcpv6.AppendHeader(stream, dhcpv6.MessageLeasequeryData, dhcpv6.TransactionID{0, 0, 1})
	stream, data := dhcpv6.OpenOption(stream, dhcpv6.OptionClientData)
	stream, _ = dhcpv6.IAAddress{Address: netip.MustParseAddr("2001:db8:1::7"), Preferred: 1800, Valid: 3600}.AppendBinary(stream)
	stream, _ = dhcpv6.CLTTime(1800).AppendBinary(stream)
	stream, _ = dhcpv6.CloseOption(stream, data)
	stream, _ = dhcpv6.CloseFrame(stream, frame)

	message, err := dhcpv6.NewReader(bytes.NewReader(stream), nil).Next()
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := dhcpv6.ParseMessage(message)
	if err != nil {
		fmt.Println(err)
		return
	}
	client, _ := m.Options.First(dhcpv6.OptionClientData)
	for code, value := range dhcpv6.Options(client).All() {
		fmt.Println(code, len(value))
	}
	// Output:
	// OPTION_IAADDR 24
	// OPTION_CLT_TIME 4
}

// A broken option is refused by name and offset.
func ExampleParseError() {
	_, err := dhcpv6.ParseMessage([]byte{14, 0, 0, 1, 0, 44, 0, 17, 4})
	fmt.Println(err)
	// Output: dhcpv6: OPTION_LQ_QUERY at offset 4: cut short
}
