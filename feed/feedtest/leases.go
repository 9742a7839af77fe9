//go:build linux

package feedtest

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
)

// Lease is a lease as servers and the cluster tell of it.
type Lease struct {
	DUID             string // hex
	IAID             uint32
	Preferred, Valid uint32 // seconds
	At               int64  // of the client's last transaction, Unix seconds
	Relays           string // the chain, the relay nearest the server first: hop, link, peer and options of each
}

// ends is when the lease is over, Unix seconds.
func (l Lease) ends() int64 {
	if l.Valid == 1<<32-1 {
		return 1 << 62
	}
	return l.At + int64(l.Valid)
}

// keaLease is an element of lease6-get-all's answer.
type keaLease struct {
	Address   netip.Addr `json:"ip-address"`
	Length    *int       `json:"prefix-len"`
	Type      string     `json:"type"`
	DUID      string     `json:"duid"`
	IAID      uint32     `json:"iaid"`
	Preferred uint32     `json:"preferred-lft"`
	Valid     uint32     `json:"valid-lft"`
	At        int64      `json:"cltt"`
	State     int        `json:"state"`
	Context   struct {
		ISC struct{ Relays []keaRelay }
	} `json:"user-context"`
}

type keaRelay struct {
	Hop        int
	Link, Peer netip.Addr
	Options    string
}

// All asks Kea for its leases in force, by address or prefix.
func (k *Kea) All() (map[netip.Prefix]Lease, error) {
	var answer struct{ Leases []keaLease }
	if err := k.Try("lease6-get-all", nil, &answer); err != nil {
		return nil, err
	}
	all := map[netip.Prefix]Lease{}
	for _, l := range answer.Leases {
		if l.State != 0 || l.Valid == 0 {
			continue
		}
		bits := 128
		if l.Type == "IA_PD" && l.Length != nil {
			bits = *l.Length
		}
		duid := strings.ReplaceAll(l.DUID, ":", "")
		lease := Lease{DUID: duid, IAID: l.IAID, Preferred: l.Preferred, Valid: l.Valid, At: l.At}
		for _, r := range l.Context.ISC.Relays {
			lease.Relays += fmt.Sprintf("[%d %v %v %s]", r.Hop, r.Link, r.Peer, strings.ToLower(strings.TrimPrefix(r.Options, "0x")))
		}
		all[netip.PrefixFrom(l.Address, bits)] = lease
	}
	return all, nil
}

// Bindings asks a node for the bindings of a source, without their relays.
func (c *Cluster) Bindings(ctx context.Context, n *Node, source string) (map[netip.Prefix]Lease, error) {
	out, err := c.command(ctx, n, "bindings", "--json", "--source", source, "--timeout", "20s", "--cluster", n.GRPC)
	if err != nil {
		return nil, err
	}
	all := map[netip.Prefix]Lease{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var b struct {
			Address, Prefix, DUID string
			IAID                  uint32
			Preferred, Valid      uint32
			At                    int64 `json:"last_transaction"`
			State                 string
		}
		if err := d.Decode(&b); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("read bindings: %w", err)
		}
		if b.Address != "" {
			b.Prefix = b.Address + "/128"
		}
		p, err := netip.ParsePrefix(b.Prefix)
		if err != nil {
			return nil, fmt.Errorf("read bindings: %w", err)
		}
		if _, twice := all[p]; twice {
			return nil, fmt.Errorf("read bindings: %v is there twice", p)
		}
		all[p] = Lease{DUID: strings.ReplaceAll(b.DUID, ":", ""), IAID: b.IAID, Preferred: b.Preferred, Valid: b.Valid, At: b.At}
	}
}

// queried is a line of `leasehold query --json`.
type queried struct {
	Addresses []struct{ Address netip.Addr }
	Prefixes  []struct{ Prefix netip.Prefix }
	Relay     struct {
		Levels []struct {
			Hop        int `json:"hop_count"`
			Link, Peer netip.Addr
			Options    []struct {
				Code int
				Data string
			}
		}
	}
}

// chain writes the relays as Lease does.
func (q *queried) chain() string {
	var out strings.Builder
	for _, level := range q.Relay.Levels {
		fmt.Fprintf(&out, "[%d %v %v ", level.Hop, level.Link, level.Peer)
		for _, o := range level.Options {
			fmt.Fprintf(&out, "%04x%04x%s", o.Code, hex.DecodedLen(len(o.Data)), o.Data)
		}
		out.WriteByte(']')
	}
	return out.String()
}

// AddRelays asks a node by bulk leasequery for the clients of a link, and adds the relays that it tells of to leases that are known.
func (c *Cluster) AddRelays(ctx context.Context, n *Node, link netip.Addr, leases map[netip.Prefix]Lease) error {
	const nothingFound = 3
	out, err := c.command(ctx, n, "query", "link-address", link.String(), "--relay-data", "--json", "--rounds", "1", "--server", n.Leasequery)
	if code, ok := errors.AsType[interface {
		error
		ExitCode() int
	}](err); err != nil && (!ok || code.ExitCode() != nothingFound) {
		return err
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var q queried
		if err := d.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the clients of %v: %w", link, err)
		}
		for _, a := range q.Addresses {
			q.Prefixes = append(q.Prefixes, struct{ Prefix netip.Prefix }{netip.PrefixFrom(a.Address, 128)})
		}
		for _, p := range q.Prefixes {
			if l, ok := leases[p.Prefix]; ok {
				l.Relays = q.chain()
				leases[p.Prefix] = l
			}
		}
	}
}

// Differences tells where two sets of leases differ, at most ten of them. Times may be a second apart; leases that end or ended
// within two seconds of now are not compared.
func Differences(server, cluster map[netip.Prefix]Lease, now time.Time) error {
	var found []string
	soon := func(l Lease) bool { return l.ends() > now.Unix()-2 && l.ends() < now.Unix()+2 }
	over := func(l Lease, known bool) bool { return !known || l.ends() <= now.Unix() }
	n := 0
	differ := func(format string, args ...any) {
		if n++; n <= 10 {
			found = append(found, fmt.Sprintf(format, args...))
		}
	}
	for p, want := range server {
		got, known := cluster[p]
		switch {
		case soon(want) || known && soon(got) || over(want, true) && over(got, known):
		case over(want, true):
			differ("%v is over and in the cluster: %+v", p, got)
		case !known:
			differ("%v is not in the cluster: %+v", p, want)
		case got.At-want.At > 1 || want.At-got.At > 1:
			differ("%v: last transaction at %d, in the cluster %d", p, want.At, got.At)
		default:
			if got.At = want.At; got != want {
				differ("%v:\n  server  %+v\n  cluster %+v", p, want, got)
			}
		}
	}
	for p, got := range cluster {
		if _, known := server[p]; !known && !soon(got) && !over(got, true) {
			differ("%v is in the cluster alone: %+v", p, got)
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d differences (server %d, cluster %d):\n%s", n, len(server), len(cluster), strings.Join(found, "\n"))
}
