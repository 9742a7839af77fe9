package ladder

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// echoLatency measures round trips of a few octets over one loopback connection: what no request can beat.
func echoLatency(n int) (quantiles, error) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return quantiles{}, fmt.Errorf("loopback echo: %w", err)
	}
	defer l.Close()
	echoed := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = io.Copy(conn, conn)
			err = errors.Join(err, conn.Close())
		}
		echoed <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return quantiles{}, fmt.Errorf("loopback echo: %w", err)
	}
	b := make([]byte, 64)
	q, err := measure(n, func() error {
		if _, err := conn.Write(b); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, b)
		return err
	})
	return q, errors.Join(err, conn.Close(), <-echoed)
}

// quantiles of how long something took.
type quantiles struct{ p50, p99 time.Duration }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// measure times f n times, after as many tenths to warm up.
func measure(n int, f func() error) (quantiles, error) {
	for range n / 10 {
		if err := f(); err != nil {
			return quantiles{}, err
		}
	}
	took := make([]time.Duration, n)
	for i := range took {
		begin := time.Now()
		if err := f(); err != nil {
			return quantiles{}, err
		}
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	return quantiles{p50: took[n/2], p99: took[n*99/100]}, nil
}
