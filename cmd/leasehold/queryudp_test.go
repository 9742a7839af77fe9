package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// toldOf is what an answer says of its clients, without times, in one order.
func toldOf(t *testing.T, ask func(each func(*requestor.Client) error) error) (told []string) {
	t.Helper()
	err := ask(func(c *requestor.Client) error {
		s := binding.FormatDUID(c.DUID)
		for _, a := range c.Addresses {
			s += " " + a.Address.String()
		}
		for _, p := range c.Prefixes {
			s += " " + p.Prefix.String()
		}
		told = append(told, fmt.Sprintf("%s %v %v", s, c.Options, c.Relay))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(told)
	return told
}

// TestQueryUDP asks three nodes over UDP.
func TestQueryUDP(t *testing.T) {
	f := feedSample(t, "udp.rate=0", "drain.delay=2s")
	t.Run("every lease as over TCP", f.udpEqualsTCP)
	t.Run("the command", f.queryCommandUDP)
	t.Run("a node that stops", f.stopUDP)
}

// udpEqualsTCP asks for every lease of the sample over UDP, by address and by client-id, and over TCP.
func (f *fedSample) udpEqualsTCP(t *testing.T) {
	config := requestor.Config{ClientID: newDUID(), Rounds: 1}
	asked := map[string]bool{}
	for i := range f.leases {
		l := &f.leases[i]
		queries := []requestor.Query{{Type: dhcpv6.QueryByAddress, Address: l.prefix.Addr(), RelayData: true, Options: []dhcpv6.OptionCode{dhcpv6.OptionClientFQDN}}}
		if !asked[l.duid] {
			asked[l.duid] = true
			duid, err := binding.ParseHex(l.duid)
			if err != nil {
				t.Fatal(err)
			}
			queries = append(queries, requestor.Query{Type: dhcpv6.QueryByClientID, ClientID: duid, RelayData: true})
		}
		for _, q := range queries {
			udp, tcp := f.cluster.Nodes[i%3], f.cluster.Nodes[(i+1)%3]
			want := toldOf(t, func(each func(*requestor.Client) error) error {
				return requestor.QueryAny(deadline(t, time.Minute), []string{tcp.LeasequeryTCP}, config, q, each)
			})
			got := toldOf(t, func(each func(*requestor.Client) error) error {
				return requestor.QueryUDP(deadline(t, time.Minute), []string{udp.LeasequeryUDP}, config, q, each)
			})
			if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
				t.Fatalf("%v %v (-TCP +UDP):\n%s", q.Type, l.prefix, diff)
			}
		}
	}
}

// queryCommandUDP: `leasehold query --udp` prints what it prints over TCP, and says clearly what UDP has not.
func (f *fedSample) queryCommandUDP(t *testing.T) {
	node := f.cluster.Nodes[2]
	dead := "[::1]:1"
	said := func(args ...string) (clients []map[string]any) {
		t.Helper()
		status, out, errs := leasehold(t, append([]string{"query", "--json", "--relay-data"}, args...)...)
		if status != 0 {
			t.Fatalf("%v: status %d\n%s", args, status, errs)
		}
		for line := range strings.Lines(out) {
			var c map[string]any
			d := json.NewDecoder(bytes.NewReader([]byte(line)))
			if err := d.Decode(&c); err != nil {
				t.Fatal(err)
			}
			delete(c, "last_transaction_seconds")
			for _, list := range []string{"addresses", "prefixes"} {
				for _, b := range c[list].([]any) {
					delete(b.(map[string]any), "preferred")
					delete(b.(map[string]any), "valid")
				}
			}
			clients = append(clients, c)
		}
		return clients
	}
	for _, args := range [][]string{{"address", "2001:db8:1000::1001"}, {"client-id", "00:02:00:00:7e:d9:a8:64:f6:e0:ba:06:1e:ad:8e:d6:ad:fd"}} {
		want := said(append(args, "--server", node.LeasequeryTCP)...)
		got := said(append(args, "--udp", "--server", dead+","+node.LeasequeryUDP)...)
		if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
			t.Errorf("%v (-TCP +UDP):\n%s", args, diff)
		}
	}
	for name, tc := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"nothing found": {[]string{"client-id", "00:02:aa"}, exitNothing, "nothing found"},
		"refused":       {[]string{"address", "3fff::1"}, exitRefused, "NotConfigured"},
		"by relay-id":   {[]string{"relay-id", "00:02:aa"}, 1, "relay-id needs TCP: over UDP there are only queries by address and by client-id"},
		"by link":       {[]string{"link-address", "2001:db8::"}, 1, "link-address needs TCP"},
		"with TLS":      {[]string{"client-id", "00:02:aa", "--tls"}, 1, "--tls goes with TCP"},
		"patient":       {[]string{"client-id", "00:02:aa", "--patience", "1s"}, 1, "--patience goes with TCP"},
		"often":         {[]string{"client-id", "00:02:aa", "--rounds", "2"}, 1, "--rounds goes with TCP"},
		"streamed":      {[]string{"client-id", "00:02:aa", "--stream"}, 1, "--stream goes with TCP"},
	} {
		status, out, errs := leasehold(t, append([]string{"query", "--udp", "--server", node.LeasequeryUDP}, tc.args...)...)
		if status != tc.status || out != "" || !strings.Contains(errs, tc.says) {
			t.Errorf("%s: status %d, want %d and %q; printed\n%s%s", name, status, tc.status, tc.says, out, errs)
		}
	}
}

// stopUDP: a node that is asked to stop goes on answering for drain.delay, and then no more; requestors find another.
func (f *fedSample) stopUDP(t *testing.T) {
	node := f.cluster.Nodes[0]
	q := requestor.Query{Type: dhcpv6.QueryByAddress, Address: f.leases[0].prefix.Addr()}
	config := requestor.Config{ClientID: newDUID(), MinBackoff: 500 * time.Millisecond, Tries: 1}
	ask := func(servers ...string) error {
		return requestor.QueryUDP(deadline(t, time.Minute), servers, config, q, func(*requestor.Client) error { return nil })
	}
	if err := node.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	answers := 0
	for running := true; running; {
		select {
		case <-node.Exited():
			running = false
		default:
			if ask(node.LeasequeryUDP) == nil {
				answers++
			}
		}
	}
	if answers == 0 {
		t.Error("no answers while the node drains")
	}
	if err := ask(node.LeasequeryUDP); !errors.Is(err, requestor.ErrSilent) {
		t.Errorf("a node that has ended: %v", err)
	}
	config.Tries = 0 // the other is alive, and may be busy
	if err := ask(node.LeasequeryUDP, f.cluster.Nodes[1].LeasequeryUDP); err != nil {
		t.Errorf("with a further server: %v", err)
	}
}
