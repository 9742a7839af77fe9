package bulk

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/active"
	"github.com/leasehold/leasehold/protocol/leasequery"
)

// BenchmarkSubscribers is how long a change takes from the end of its entry's Apply to a subscriber's socket: 100 subscribers of everything,
// over loopback, read in this process too. LEASEHOLD_SUBSCRIBERS is another number of them.
func BenchmarkSubscribers(b *testing.B) {
	subscribers := 100
	if n, err := strconv.Atoi(os.Getenv("LEASEHOLD_SUBSCRIBERS")); err == nil {
		subscribers = n
	}
	for _, c := range []struct {
		name     string
		rate     int // changes a second
		an       int // changes an entry
		duration time.Duration
	}{
		{"one-at-a-time/100-a-second", 100, 1, 2 * time.Second},
		{"entries-of-10/5000-a-second", 5000, 10, 4 * time.Second},
		{"entries-of-1/5000-a-second", 5000, 1, 4 * time.Second},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				followChanges(b, subscribers, c.rate, c.an, int(c.duration.Seconds()*float64(c.rate)))
			}
		})
	}
}

// watched is one subscriber of the benchmark: it notes how late it was told of every change.
type watched struct {
	in   *bufio.Reader
	late []time.Duration
}

// follow reads until it was told of the last change. applied is when each was.
func (w *watched) follow(applied []atomic.Int64) error {
	frame := make([]byte, 0, 1<<10)
	for {
		size, err := w.in.Peek(2)
		if err != nil {
			return err
		}
		frame = frame[:2+int(binary.BigEndian.Uint16(size))]
		if _, err := io.ReadFull(w.in, frame); err != nil {
			return err
		}
		i := bytes.Index(frame, []byte("client"))
		if i < 0 {
			continue
		}
		n := int(binary.BigEndian.Uint32(frame[i+6:]))
		w.late = append(w.late, time.Duration(time.Now().UnixNano()-applied[n].Load()))
		if n == len(applied)-1 {
			return nil
		}
	}
}

func followChanges(b *testing.B, subscribers, rate, an, changes int) {
	m := activeHouse(b)
	s := serveState(b, m, inClear(func(c *Config) {
		c.MaxConnections, c.MaxConnectionsPerRequestor, c.Active.MaxSubscriptions = 2*subscribers, 2*subscribers, subscribers
	}), leasequery.Config{})
	applied := make([]atomic.Int64, changes)
	all := make([]watched, subscribers)
	var reading sync.WaitGroup
	sockets := make([]net.Conn, subscribers)
	for n := range all {
		sockets[n] = dialRaw(b, s)
		defer sockets[n].Close()
		all[n] = watched{in: bufio.NewReaderSize(sockets[n], 16<<10), late: make([]time.Duration, 0, changes)}
	}
	unsubscribed := heap()
	for n, c := range sockets {
		if _, err := c.Write(subscribe(1)); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(all[n].in, make([]byte, len(subscribed(1, base(0))))); err != nil {
			b.Fatal(err)
		}
	}
	memory := heap() - unsubscribed // of a connection that was open before
	cpu := cpuTime()
	begun := time.Now()
	for n := range all {
		reading.Go(func() {
			if err := all[n].follow(applied); err != nil {
				b.Errorf("subscriber %d: %v", n, err)
			}
		})
	}
	for n := 0; n < changes; n += an {
		batch := make([]binding.Change, an)
		for i := range batch {
			batch[i] = leaseOf(n + i)
		}
		if d := time.Until(begun.Add(time.Duration(n) * time.Second / time.Duration(rate))); d > 0 {
			<-time.After(d)
		}
		at := time.Now().UnixNano()
		for i := range batch {
			applied[n+i].Store(at)
		}
		m.put(b, 1, batch...)
	}
	reading.Wait()
	took := time.Since(begun)
	var late []time.Duration
	for n := range all {
		if len(all[n].late) != changes {
			b.Errorf("subscriber %d was told of %d changes, want %d", n, len(all[n].late), changes)
		}
		late = append(late, all[n].late...)
	}
	slices.Sort(late)
	at := func(q float64) float64 { return float64(late[int(q*float64(len(late)-1))].Microseconds()) / 1000 }
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(at(1), "max-ms")
	b.ReportMetric(float64(changes)/took.Seconds(), "changes/s")
	b.ReportMetric((cpuTime()-cpu).Seconds()/took.Seconds(), "cores") // of this process: subscribers and changes included
	b.ReportMetric(float64(changes*subscribers)/s.counted(active.MetricWrites), "messages/write")
	b.ReportMetric(float64(memory)/float64(subscribers)/1024, "KiB/subscriber")
	runtime.KeepAlive(all)
}

// counted is the value of a counter.
func (s *served) counted(name string) float64 {
	families, err := s.registry.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0
}

// cpuTime is what this process has used of the processors.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
