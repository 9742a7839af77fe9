package dnsmasq

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// maxEvent bounds an event, and the memory for it.
const maxEvent = 64 << 10

// message is an event on its way: a line of JSON, answered by a line that is "ok" or tells what is wrong.
type message struct {
	Args        []string          `json:"args"` // add, old or del; the DUID; the address; perhaps the name
	Environment map[string]string `json:"environment"`
}

// answerOK is the answer to an event that is remembered.
const answerOK = "ok"

// ErrEvent is wrapped when the agent has refused an event.
var ErrEvent = errors.New("event refused")

// SendEvent tells the agent that listens at a unix socket of an event: args are the arguments that dnsmasq gave its dhcp-script
// (add, old or del; the DUID or MAC address; the address; the name), environment its environment ("NAME=value"), of which what begins
// with DNSMASQ_ is sent. It returns when the agent has remembered the event, and tries again until ctx ends while there is none.
// An event that is not of a DHCPv6 lease is not sent. The error wraps ErrEvent or is of the connection.
func SendEvent(ctx context.Context, socket string, args, environment []string) error {
	if !ofDHCPv6(args) {
		return nil
	}
	m := message{Args: args, Environment: map[string]string{}}
	for _, e := range environment {
		if name, value, ok := strings.Cut(e, "="); ok && strings.HasPrefix(name, "DNSMASQ_") {
			m.Environment[name] = value
		}
	}
	line, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	if len(line) >= maxEvent {
		return fmt.Errorf("%w: %w: %d octets", ErrEvent, ErrLarge, len(line))
	}
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		err := deliver(ctx, socket, append(line, '\n'))
		if err == nil || errors.Is(err, ErrEvent) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("send event: %w", err)
		case <-time.After(wait):
		}
	}
}

// ofDHCPv6 tells whether these are the arguments of an event of a DHCPv6 lease.
func ofDHCPv6(args []string) bool {
	if len(args) < 3 || args[0] != "add" && args[0] != "old" && args[0] != "del" {
		return false
	}
	return !isIPv4(args[2])
}

// deliver sends an event once.
func deliver(ctx context.Context, socket string, line []byte) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.Write(line); err != nil {
		return err
	}
	answer, err := bufio.NewReader(io.LimitReader(c, 4096)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if answer = strings.TrimSuffix(answer, "\n"); answer != answerOK {
		return fmt.Errorf("%w: %s", ErrEvent, answer)
	}
	return nil
}

// event is what dnsmasq tells its script about a lease.
type event struct {
	lease lease
	gone  bool // the lease is over
	added bool // the lease is new, and what is said of the relay is the truth
	// remaining is for how many seconds the lease goes on; 0: not told, or for ever.
	remaining int64
}

// parseEvent reads an event.
func parseEvent(line []byte) (event, error) {
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		return event{}, fmt.Errorf("read event: %w", err)
	}
	if !ofDHCPv6(m.Args) {
		return event{}, fmt.Errorf("%w: %d arguments", ErrFields, len(m.Args))
	}
	e := event{gone: m.Args[0] == "del", added: m.Args[0] == "add"}
	var problems [5]error
	l := &e.lease
	l.duid, problems[0] = parseDUID(m.Args[1])
	l.address, problems[1] = parseAddress(m.Args[2])
	l.iaid, l.kind, problems[2] = parseIAID(m.Environment["DNSMASQ_IAID"])
	if len(m.Args) > 3 {
		l.name = m.Args[3]
	}
	l.expires, problems[3] = parseExpiry(m.Environment["DNSMASQ_LEASE_EXPIRES"])
	if text, ok := m.Environment["DNSMASQ_TIME_REMAINING"]; ok {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			problems[4] = fmt.Errorf("time remaining: %w: %.40q", ErrNumber, text)
		}
		e.remaining = int64(n)
	}
	if text, ok := m.Environment["DNSMASQ_RELAY_ADDRESS"]; ok {
		a, err := netip.ParseAddr(text)
		if err != nil || !a.Is6() || a.Zone() != "" {
			return event{}, fmt.Errorf("relay: %w: %.60q", ErrAddress, text)
		}
		if !a.IsUnspecified() {
			l.relay = a
		}
	}
	return e, errors.Join(problems[:]...)
}
