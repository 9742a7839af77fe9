package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// Exit codes of the query command.
const (
	exitNothing = 3 // the answer was complete and empty
	exitRefused = 4 // every server answered with an error status
)

// queryFlags holds the flags of the query command.
type queryFlags struct {
	servers     []string
	link        string
	relayData   bool
	json        bool
	stream      bool
	requestorID string
	options     []uint
	timeout     time.Duration
	patience    time.Duration
	rounds      int
	receive     int
	udp         bool
	tls         tlsFlags
}

func queryCommand() *cobra.Command {
	var f queryFlags
	c := &cobra.Command{
		Use:   "query address|client-id|relay-id|link-address|remote-id VALUE",
		Short: "Ask for leases, as a relay does (RFC 5460, RFC 5007)",
		Long: "Ask for leases by bulk leasequery over TCP. The servers are tried in turn: a connection that fails, ends before\n" +
			"LEASEQUERY-DONE or says QueryTerminated is asked again at the next one, from the start. A server that says nothing for\n" +
			"--patience has the next one asked beside it, and the first complete answer counts. A name stands for all of its addresses.\n" +
			"After the last server come a pause and another round. The answer is printed when it is complete; what went wrong before\n" +
			"is told on standard error.\n\n" +
			"With --udp a query by address or by client-id is sent over UDP (RFC 5007), again after 1, 2, 4 and 8 seconds, to a further\n" +
			"server each time that nobody has answered. A client on several links is asked for on each.\n\n" +
			"Exit status: 0 something found, 3 nothing found, 4 every server answered with an error status, 1 anything else.",
		Example: "  leasehold query address 2001:db8:1000::1 --server [2001:db8::1]:547\n" +
			"  leasehold query client-id 00:03:00:01:02:00:00:00:00:01 --udp --server [2001:db8::1]:547,[2001:db8::2]:547\n" +
			"  leasehold query relay-id 000200007ed9626e672d612d3031 --relay-data --json --server [::1]:547,[::1]:1547\n" +
			"  leasehold query remote-id 32473:6f6c74 --server [::1]:547",
		Args:      cobra.ExactArgs(2),
		ValidArgs: []string{"address", "client-id", "relay-id", "link-address", "remote-id"},
		RunE:      func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0], args[1]) },
	}
	fl := c.Flags()
	fl.StringSliceVar(&f.servers, "server", []string{"[::1]:547"}, "servers, host:port, tried in turn")
	fl.StringVar(&f.link, "link", "", "only clients on the link of this address")
	fl.BoolVar(&f.udp, "udp", false, "ask over UDP (RFC 5007): by address and by client-id only")
	fl.BoolVar(&f.relayData, "relay-data", false, "ask for the relay chain that each client came through")
	fl.BoolVar(&f.json, "json", false, "print one JSON object a line for each client")
	fl.BoolVar(&f.stream, "stream", false, "print clients as they come, and a status line on standard error at the end")
	fl.StringVar(&f.requestorID, "requestor-id", "", "the DUID to ask as, in hex (default: made up for this query)")
	fl.UintSliceVar(&f.options, "option", nil, "codes of client options to ask for, such as 39 for the host name")
	fl.DurationVar(&f.timeout, "data-timeout", requestor.DefaultDataTimeout, "BULK_LQ_DATA_TIMEOUT: how long a server may be silent")
	fl.DurationVar(&f.patience, "patience", requestor.DefaultPatience, "how long a server may be silent before the next one is asked as well")
	fl.IntVar(&f.rounds, "rounds", requestor.DefaultRounds, "how many times to go through the servers")
	f.tls.add(c)
	fl.IntVar(&f.receive, "receive-buffer", 0, "octets of socket receive buffer; 0 leaves it to the system")
	return c
}

func (f *queryFlags) run(cmd *cobra.Command, kind, value string) error {
	q, err := f.query(kind, value)
	if err != nil {
		return err
	}
	if f.udp {
		if err := f.checkUDP(cmd, kind, q); err != nil {
			return err
		}
	}
	id, err := f.duid()
	if err != nil {
		return err
	}
	if f.patience <= 0 || f.rounds <= 0 || f.timeout <= 0 {
		return fmt.Errorf("--patience %v, --rounds %d, --data-timeout %v: want more than 0", f.patience, f.rounds, f.timeout)
	}
	secure, err := f.tls.client()
	if err != nil {
		return err
	}
	cfg := requestor.Config{TLS: secure, ClientID: id, DataTimeout: f.timeout, Patience: f.patience, Rounds: f.rounds, Stream: f.stream, ReceiveBuffer: f.receive}
	cfg.Report = func(a requestor.Attempt) { fmt.Fprintf(cmd.ErrOrStderr(), "leasehold: %s: %v\n", a.Server, a.Err) }
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 1<<16)
	p := clientPrinter{w: out, json: f.json}
	err = f.ask(cmd.Context(), cfg, q, p.print)
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	var attempts *requestor.AttemptsError
	switch {
	case errors.As(err, &attempts) && attempts.Refused(): // each was reported when it failed
		return exitStatus{exitRefused, "every server answered with an error status"}
	case attempts != nil:
		return exitStatus{1, fmt.Sprintf("no complete answer after %d attempts", len(attempts.Attempts))}
	case err != nil && f.stream && p.clients > 0:
		return fmt.Errorf("incomplete after %d clients: %w", p.clients, err)
	case err != nil:
		return err
	case f.stream:
		fmt.Fprintf(cmd.ErrOrStderr(), "complete: %d clients\n", p.clients)
	}
	if p.clients == 0 {
		return exitStatus{exitNothing, "nothing found"}
	}
	return nil
}

// query makes the query that the arguments mean.
func (f *queryFlags) query(kind, value string) (q requestor.Query, err error) {
	if q, err = f.everything(); err != nil {
		return q, err
	}
	if f.link != "" {
		if q.LinkAddress, err = parseAddress(f.link); err != nil {
			return q, fmt.Errorf("--link: %w", err)
		}
	}
	switch kind {
	case "address":
		q.Type = dhcpv6.QueryByAddress
		q.Address, err = parseAddress(value)
	case "client-id":
		q.Type = dhcpv6.QueryByClientID
		q.ClientID, err = binding.ParseHex(value)
	case "relay-id":
		q.Type = dhcpv6.QueryByRelayID
		q.RelayID, err = binding.ParseHex(value)
	case "link-address":
		if f.link != "" {
			return q, errors.New("--link goes with the other query types")
		}
		q.Type = dhcpv6.QueryByLinkAddress
		q.LinkAddress, err = parseAddress(value)
	case "remote-id":
		q.Type = dhcpv6.QueryByRemoteID
		var b []byte
		if b, err = parseRemoteID(value); err == nil {
			q.RemoteID, err = dhcpv6.ParseRemoteID(b)
		}
	default:
		return q, fmt.Errorf("query type %q: want address, client-id, relay-id, link-address or remote-id", kind)
	}
	if err != nil {
		return q, fmt.Errorf("%s: %w", kind, err)
	}
	return q, nil
}

// everything is what is asked for of each client, without a type.
func (f *queryFlags) everything() (q requestor.Query, err error) {
	q.RelayData = f.relayData
	for _, o := range f.options {
		if o == 0 || o > 65535 {
			return q, fmt.Errorf("--option %d: want 1 to 65535", o)
		}
		q.Options = append(q.Options, dhcpv6.OptionCode(o))
	}
	return q, nil
}

// duid is the DUID that the query is asked with: a DUID-UUID (RFC 6355) unless one was given.
func (f *queryFlags) duid() ([]byte, error) {
	if f.requestorID != "" {
		b, err := binding.ParseHex(f.requestorID)
		if err != nil {
			return nil, fmt.Errorf("--requestor-id: %w", err)
		}
		return b, nil
	}
	return newDUID(), nil
}

// newDUID makes a DUID of type UUID (RFC 6355) at random.
func newDUID() []byte {
	b := make([]byte, 18)
	rand.Read(b[2:])
	b[1] = 4
	return b
}

func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, err
	}
	if !a.Is6() || a.Is4In6() || a.Zone() != "" {
		return a, fmt.Errorf("%q is not an IPv6 address", s)
	}
	return a, nil
}

// parseRemoteID reads ENTERPRISE:HEX as the octets of OPTION_REMOTE_ID.
func parseRemoteID(s string) ([]byte, error) {
	number, rest, ok := strings.Cut(s, ":")
	enterprise, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil {
		return nil, fmt.Errorf("%q: want ENTERPRISE:HEX, such as 32473:6f6c74", s)
	}
	id, err := binding.ParseHex(rest)
	if err != nil {
		return nil, err
	}
	out := []byte{byte(enterprise >> 24), byte(enterprise >> 16), byte(enterprise >> 8), byte(enterprise)}
	return append(out, id...), nil
}

// clientPrinter prints the clients of an answer.
type clientPrinter struct {
	w       io.Writer
	json    bool
	clients int
	line    []byte
}

func (p *clientPrinter) print(c *requestor.Client) error {
	p.clients++
	p.line = p.line[:0]
	if p.json {
		var err error
		if p.line, err = c.AppendJSON(p.line); err != nil {
			return err
		}
		p.line = append(p.line, '\n')
	} else {
		p.line = appendClient(p.line, c)
	}
	_, err := p.w.Write(p.line)
	return err
}

// appendClient writes a client for people: a line for the client, then one for each binding and relay.
func appendClient(b []byte, c *requestor.Client) []byte {
	b = fmt.Appendf(b, "client %s  last heard of %v ago\n", binding.FormatDUID(c.DUID), time.Duration(c.LastTransaction)*time.Second)
	for _, a := range c.Addresses {
		b = fmt.Appendf(b, "  address %-39v  preferred %s  valid %s\n", a.Address, seconds(a.Preferred), seconds(a.Valid))
	}
	for _, p := range c.Prefixes {
		b = fmt.Appendf(b, "  prefix  %-39v  preferred %s  valid %s\n", p.Prefix, seconds(p.Preferred), seconds(p.Valid))
	}
	return appendDetails(b, c)
}

// appendDetails writes a client's options and relays, a line each.
func appendDetails(b []byte, c *requestor.Client) []byte {
	for _, o := range c.Options {
		b = fmt.Appendf(b, "  option  %d  %s\n", o.Code, hex.EncodeToString(o.Data))
	}
	if !c.HasRelay {
		return b
	}
	for _, l := range c.Relay.Levels {
		b = fmt.Appendf(b, "  relay   hop %d  link %v  peer %v", l.HopCount, l.Link, l.Peer)
		for _, o := range l.Options {
			b = fmt.Appendf(b, "  %d=%s", o.Code, hex.EncodeToString(o.Data))
		}
		b = append(b, '\n')
	}
	return b
}
