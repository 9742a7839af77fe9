package bulk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/active"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// follower is a subscriber that comes and goes between servers of one state, and goes on each time from the newest base time that it was
// told, whichever message that came with.
type follower struct {
	random *rand.Rand
	addrs  []net.Addr
	base   uint32
	holds  map[netip.Addr]string // whose an address is
}

// errLeft says that the follower has left by itself.
var errLeft = errors.New("left")

// visit subscribes at one of the servers and follows for some messages, or, at the end, until it has told of the last client.
func (f *follower) visit(last *atomic.Bool) error {
	c, err := net.Dial("tcp", f.addrs[f.random.IntN(len(f.addrs))].String())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // whatever that says, the follower has left
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	ask := subscribe(1, opt(optStartTime, u32(f.base)))
	if f.random.IntN(3) == 0 { // refused beside it, which changes nothing
		ask = append(ask, lqMsg(2, lq(qLink, "2001:db8:1::1"))...)
	}
	if _, err := c.Write(ask); err != nil {
		return err
	}
	frames := dhcpv6.NewReader(c, nil)
	for messages := f.random.IntN(60); messages > 0 || last.Load(); messages-- {
		frame, err := frames.Next()
		if err != nil {
			return err
		}
		if frame[3] == 2 {
			continue
		}
		end, err := f.take(frame)
		if end || err != nil {
			return err
		}
	}
	if f.random.IntN(2) == 0 {
		_ = c.(*net.TCPConn).SetLinger(0) // a reset
	}
	return errLeft
}

// take applies a message.
func (f *follower) take(frame []byte) (end bool, err error) {
	m, err := dhcpv6.ParseMessage(frame)
	if err != nil {
		return false, err
	}
	base, ok := m.Options.First(optBaseTime)
	if !ok {
		return false, fmt.Errorf("without base time: %x", frame)
	}
	f.base = binary.BigEndian.Uint32(base)
	if status, ok := m.Options.First(optStatus); ok && binary.BigEndian.Uint16(status) != stCatchUpComplete {
		return false, fmt.Errorf("status %d %s", binary.BigEndian.Uint16(status), status[2:])
	}
	data, ok := m.Options.First(optClientData)
	if !ok {
		return false, nil
	}
	duid := ""
	for code, v := range dhcpv6.Options(data).All() {
		switch code {
		case optClientID:
			duid = string(v)
		case optIAAddr:
			a := netip.AddrFrom16([16]byte(v[:16]))
			switch valid := binary.BigEndian.Uint32(v[20:]); {
			case valid > 0:
				f.holds[a] = duid
			case f.holds[a] == duid:
				delete(f.holds, a)
			}
		}
	}
	return duid == "the-end", nil
}

// Subscribers that come and go, at two servers of one state, while it changes: each ends with exactly what there is, without a bulk query, and
// no place or connection stays behind. LEASEHOLD_ROUNDS is how many times.
func TestRule24SubscribersThatComeAndGo(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("LEASEHOLD_ROUNDS"))
	if err != nil {
		rounds = 1
	}
	for round := range rounds {
		comeAndGo(t, uint64(round)+uint64(time.Now().UnixNano()))
	}
}

func comeAndGo(t *testing.T, seed uint64) {
	const followers, entries, addresses = 12, 300, 100
	t.Logf("seed %d", seed)
	m := activeHouse(t)
	many := inClear(func(c *Config) { c.MaxConnections, c.MaxConnectionsPerRequestor = 1000, 1000 })
	one, other := serveState(t, m, many, leasequery.Config{}), serveState(t, m, many, leasequery.Config{})
	var last atomic.Bool
	var following sync.WaitGroup
	all := make([]follower, followers)
	for n := range all {
		all[n] = follower{random: rand.New(rand.NewPCG(seed, uint64(n))), addrs: []net.Addr{one.addr, other.addr},
			base: nowBase - 1, holds: map[netip.Addr]string{}}
		following.Go(func() {
			for {
				err := all[n].visit(&last)
				if err == nil {
					return
				}
				if !errors.Is(err, errLeft) && !errors.Is(err, io.EOF) {
					t.Errorf("follower %d: %v", n, err)
					return
				}
			}
		})
	}
	want := map[netip.Addr]string{netip.MustParseAddr("2001:db8:1::a"): "client-a", netip.MustParseAddr("2001:db8:1::e"): "the-end"}
	change(t, m, rand.New(rand.NewPCG(seed, followers)), want, entries, addresses)
	last.Store(true)
	m.put(t, 10, lease(binding.NA, "2001:db8:1::e", "the-end", nil))
	following.Wait()
	for n := range all {
		if diff := cmp.Diff(want, all[n].holds, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("follower %d (-want +got):\n%s", n, diff)
		}
	}
	for _, s := range []*served{one, other} {
		await(t, "no subscription is left", func() bool {
			return s.metric(t, active.MetricSubscriptions, "") == 0 && s.metric(t, MetricConnections, "") == 0
		})
	}
}

// change makes so many entries of leases, renewals, releases and reassignments, and keeps in want whose each address is.
func change(t *testing.T, m *moving, random *rand.Rand, want map[netip.Addr]string, entries, addresses int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for entry := range entries {
		var batch []binding.Change
		for range 1 + random.IntN(4) {
			c := leaseOf(random.IntN(addresses))
			a := c.Binding.Prefix.Addr()
			owner, held := want[a]
			switch {
			case held && random.IntN(3) == 0:
				c.Binding.DUID = []byte(owner)
				batch = append(batch, ended(c, binding.Released, entry))
				delete(want, a)
				continue
			case held && random.IntN(2) == 0:
				c.Binding.DUID = []byte(owner)
			default:
				c.Binding.DUID = []byte("client " + string(rune('A'+random.IntN(40))))
			}
			batch = append(batch, renewed(c, entry))
			want[a] = string(c.Binding.DUID)
		}
		m.put(t, random.IntN(700), batch...)
		<-tick.C
	}
}
