package ladder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leasehold/leasehold/protocol/udp/datagram"
)

// udpPatience is how long a client waits for an answer before it counts as lost.
const udpPatience = 200 * time.Millisecond

// udpReceiveBuffer is SO_RCVBUF of a client, in octets: what comes while the client is not running must not be lost.
const udpReceiveBuffer = 4 << 20

// udpClient asks one server by one socket, many queries with one system call.
type udpClient struct {
	conn *net.UDPConn
	in   *datagram.Reader
	out  *datagram.Writer
	to   datagram.Endpoint
}

func newUDPClient(ctx context.Context, server netip.AddrPort) (*udpClient, error) {
	p, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp6", "[::1]:0")
	if err != nil {
		return nil, fmt.Errorf("ask over UDP: %w", err)
	}
	c := &udpClient{conn: p.(*net.UDPConn), to: datagram.Endpoint{Addr: server.Addr(), Port: server.Port()}}
	if err = c.conn.SetReadBuffer(udpReceiveBuffer); err == nil {
		c.in, err = datagram.NewReader(c.conn)
	}
	if err == nil {
		c.out, err = datagram.NewWriter(c.conn)
	}
	if err != nil {
		return nil, errors.Join(err, c.conn.Close())
	}
	return c, nil
}

// send takes one query, and tells whether there is no room for another before the next flush.
func (c *udpClient) send(query []byte) (full bool) {
	return c.out.Add(datagram.Outgoing{Octets: query, To: c.to, Local: netip.IPv6Unspecified()})
}

func (c *udpClient) flush() error {
	if _, _, lost, err := c.out.Flush(); lost > 0 {
		return fmt.Errorf("ask over UDP: %d queries not sent: %w", lost, err)
	}
	return nil
}

func (c *udpClient) read(patience time.Duration) (int, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	return c.in.Read()
}

// udpFlood keeps so many queries under way at a server as fill its sockets, for a while, and returns how many answers came in a second.
// An answer that is not of the size, which most are, must have another reason than a status.
func udpFlood(ctx context.Context, server netip.AddrPort, queries [][]byte, size int, during time.Duration) (rate float64, err error) {
	var answers atomic.Int64
	errs := make(chan error, udpSockets)
	begin := time.Now()
	end := begin.Add(during)
	for i := range udpSockets {
		go func() {
			n, err := udpFloodOne(ctx, server, queries[i*len(queries)/udpSockets:], size, end)
			answers.Add(n)
			errs <- err
		}()
	}
	for range udpSockets {
		err = errors.Join(err, <-errs)
	}
	return float64(answers.Load()) / time.Since(begin).Seconds(), errors.Join(err, ctx.Err())
}

func udpFloodOne(ctx context.Context, server netip.AddrPort, queries [][]byte, size int, end time.Time) (answers int64, err error) {
	c, err := newUDPClient(ctx, server)
	if err != nil {
		return 0, err
	}
	defer c.conn.Close()
	next, short := 0, 0
	for more := udpWindow; time.Now().Before(end) && ctx.Err() == nil; {
		for range more {
			c.send(queries[next%len(queries)])
			next++
		}
		if err := c.flush(); err != nil {
			return answers, err
		}
		n, err := c.read(udpPatience)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			more = udpWindow // all that were under way are lost
			continue
		}
		if err != nil {
			return answers, err
		}
		for i := range n {
			if len(c.in.At(i).Octets) < size/2 {
				short++
			}
		}
		answers += int64(n)
		more = n
	}
	if short > 0 {
		return answers, fmt.Errorf("%d answers over UDP are too short to tell of a client", short)
	}
	return answers, nil
}

// paced is what queries at a steady rate took.
type paced struct {
	quantiles
	lost float64 // share
}

// udpPaced sends queries at a steady rate, whatever comes back, and measures each from its sending to the reading of its answer.
func udpPaced(ctx context.Context, server netip.AddrPort, queries [][]byte, rate float64, during time.Duration) (p paced, err error) {
	const sockets = 4
	var all []time.Duration
	var mu sync.Mutex
	var lost lostOf
	errs := make(chan error, sockets)
	for range sockets {
		go func() {
			took, err := udpPacedOne(ctx, server, queries, rate/sockets, during, &lost)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			errs <- err
		}()
	}
	for range sockets {
		err = errors.Join(err, <-errs)
	}
	if err == nil && len(all) == 0 {
		err = errors.New("no answers over UDP")
	}
	if err != nil {
		return p, err
	}
	slices.Sort(all)
	return paced{quantiles{all[len(all)/2], all[len(all)*99/100]}, lost.share()}, ctx.Err()
}

func udpPacedOne(ctx context.Context, server netip.AddrPort, queries [][]byte, rate float64, during time.Duration, lost *lostOf) (took []time.Duration, err error) {
	c, err := newUDPClient(ctx, server)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	var sentAt [1 << 16]atomic.Int64 // by transaction-id, which is the place among the queries
	read := make(chan error, 1)
	go func() {
		for {
			n, err := c.read(during + udpPatience)
			if err != nil {
				read <- err
				return
			}
			now := time.Since(begin)
			for i := range n {
				if b := c.in.At(i).Octets; len(b) > 3 {
					lost.received.Add(1)
					took = append(took, now-time.Duration(sentAt[int(b[2])<<8|int(b[3])].Load()))
				}
			}
		}
	}()
	err = udpPace(ctx, c, queries, rate, during, begin, &sentAt, lost)
	late := time.NewTimer(udpPatience)
	<-late.C
	err = errors.Join(err, c.conn.Close())
	if ended := <-read; !errors.Is(ended, net.ErrClosed) && !errors.Is(ended, os.ErrDeadlineExceeded) {
		err = errors.Join(err, ended)
	}
	return took, err
}

// udpPace sends queries at the rate, those of a millisecond together.
func udpPace(ctx context.Context, c *udpClient, queries [][]byte, rate float64, during time.Duration, begin time.Time, sentAt *[1 << 16]atomic.Int64, lost *lostOf) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for sent := 0; time.Since(begin) < during && ctx.Err() == nil; <-tick.C {
		for due := int(rate * time.Since(begin).Seconds()); sent < due; {
			for range min(due-sent, udpWindow) {
				sentAt[sent%len(queries)].Store(int64(time.Since(begin)))
				c.send(queries[sent%len(queries)])
				sent++
				lost.sent.Add(1)
			}
			if err := c.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}
