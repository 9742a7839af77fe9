package bulk

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/active"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// A subscriber that was slow gets the newest state of all that it missed: nothing is left out, and what has changed a thousand times is told
// once (RFC 7653 7).
func TestRFC7653SlowSubscriberGetsTheNewestState(t *testing.T) {
	m := activeHouse(t)
	s := serveState(t, m, inClear(), leasequery.Config{})
	w := dialWire(t, s.addr)
	w.send(subscribe(1))
	w.expect(subscribed(1, base(0)))
	known := stallSubscriber(t, s, m, w)
	const often, renewals = 10, 1000
	for r := 1; r <= renewals; r++ {
		var batch []binding.Change
		for n := range often {
			batch = append(batch, aged(leaseOf(n), 3600, uint32(7200+r), 100))
			batch[n].Binding.Stamp = uint32(r)
		}
		m.put(t, 1, batch...)
	}
	m.put(t, 1, lease(binding.NA, "2001:db8:1::e", "the-end", nil))
	valid, times := make([]uint32, known), make([]int, known)
	for {
		b := w.next()
		if bytes.Contains(b, []byte("the-end")) {
			break
		}
		n := clientNumber(t, b)
		i := bytes.Index(b, opt(optIAAddr, addr(leaseOf(n).Binding.Prefix.Addr().String()), make([]byte, 8))[:20])
		valid[n], times[n] = binary.BigEndian.Uint32(b[i+24:]), times[n]+1
	}
	elapsed := uint32(m.Now()-now)/1000 + 100
	for n := range known {
		want, most := uint32(7200), 1
		if n < often {
			want, most = 7200+renewals, 2 // once before it stalled
		}
		if valid[n]+elapsed < want || valid[n] > want-100 || times[n] > most {
			t.Fatalf("client %d was told %d times, last with valid lifetime %d at about %d s; want %d times at most, of %d", n, times[n], valid[n], elapsed, most, want)
		}
	}
}

// clientNumber is which of leaseOf a message is about.
func clientNumber(t *testing.T, b []byte) int {
	t.Helper()
	i := bytes.Index(b, []byte("client"))
	if i < 0 || len(b) < i+10 {
		t.Fatalf("not about one of the clients: %s", dump(b))
	}
	return int(binary.BigEndian.Uint32(b[i+6:]))
}

// A change is told as soon as it is applied: its message does not wait for others, nor for the next look of each second (RFC 7653 8.3).
func TestRFC7653ChangeIsToldAtOnce(t *testing.T) {
	m := activeHouse(t)
	s := serveState(t, m, inClear(), leasequery.Config{})
	w := dialWire(t, s.addr)
	w.send(subscribe(1))
	w.expect(subscribed(1, base(0)))
	for n := range 500 {
		m.put(t, 0, leaseOf(n))
		w.expect(update(1, base(0), client("client"+string(u32(uint32(n))), 100, leased(leaseOf(n).Binding.Prefix.Addr().String()))))
	}
}

// What a subscriber that reads nothing costs is bounded, whatever it sends, however long the messages are, and whatever changes: 256 KiB with
// its receiver, its sender and what the subscription keeps; no view, and nothing that grows.
func TestRule14StalledSubscribersAreBounded(t *testing.T) {
	const conns = 20
	for _, sealed := range []bool{false, true} {
		m := activeHouse(t)
		p := newPKI(t)
		config := inClear(func(c *Config) {
			c.MaxConnections, c.MaxConnectionsPerRequestor, c.SendBuffer = conns, conns, 1<<20
			c.TLS = TLS{Mode: starttls.Optional, Credentials: p.creds}
			if !sealed {
				c.TLS = TLS{}
			}
		})
		s := serveState(t, m, config, leasequery.Config{})
		half := msg(msgQuery, 2, opt(65000, make([]byte, 65000)))
		half = half[:len(half)-1]
		kept := make([]*wire, conns)
		for i := range kept {
			if sealed {
				kept[i], _ = dialTLS(t, s, p.requestor(t, "x.example"))
			} else {
				kept[i] = dialWire(t, s.addr)
			}
			kept[i].send(subscribe(1, opt(optORO, u16(optRelayData), u16(optFQDN))), half)
			kept[i].expect(subscribed(1, base(0)))
		}
		for still, n := 0, 0; still < 3; still, n = still+1, n+50 { // the same clients, again and again, with 20 KiB each
			sent := s.metric(t, MetricOctets, "")
			m.put(t, 1, longChanges(n)...)
			if s.sendsMore(t, sent) {
				still = -1
			}
		}
		if n := s.metric(t, active.MetricSubscriptions, ""); n != conns {
			t.Errorf("%v subscriptions, want %d", n, conns)
		}
		with := heap()
		for i, w := range kept {
			if err := w.SetLinger(0); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			kept[i] = &wire{t: t, in: w.in, out: w.out} // the requestors' side is in this process as well, and stays
		}
		await(t, "all are gone", func() bool { return s.metric(t, MetricConnections, "") == 0 })
		each := (with - heap()) / conns
		t.Logf("inside TLS %v: %d octets each; the kernel holds more", sealed, each)
		if each > 256<<10 {
			t.Errorf("%d octets a connection, want 262,144 at most", each)
		}
		runtime.KeepAlive(kept)
	}
}

// longChanges are changes of 50 clients with as much beside them as is kept: a relay chain of 16 KiB and client options of 4 KiB.
func longChanges(round int) (all []binding.Change) {
	chain := binding.AppendChain(nil, netip.Addr{}, []binding.Level{{
		Link: netip.MustParseAddr("2001:db8:1::1"), Peer: netip.MustParseAddr("fe80::c"), Options: opt(65001, make([]byte, binding.MaxChain-100)),
	}})
	for n := range 50 {
		c := leaseOf(n)
		c.Binding.Options = opt(optFQDN, make([]byte, binding.MaxOptions-4))
		c.Binding.Chain, c.Binding.Valid, c.Binding.Stamp = chain, uint32(7200+round), uint32(round)
		all = append(all, c)
	}
	return all
}
