package rpc

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// ErrPoolClosed says that the pool was closed.
var ErrPoolClosed = errors.New("connection pool is closed")

// maxPool bounds the addresses that a pool keeps connections to. The one that was asked for longest ago makes room.
const maxPool = 64

// Pool keeps one connection to each node that is asked. Connections are made when first used and come back quickly when the node
// does. Close it when done.
type Pool struct {
	mu     sync.Mutex
	conns  map[string]*pooled
	uses   uint64
	closed bool
}

type pooled struct {
	conn *grpc.ClientConn
	used uint64
}

// NewPool is an empty pool.
func NewPool() *Pool { return &Pool{conns: map[string]*pooled{}} }

// Conn is the connection to a node's gRPC address, host:port. It belongs to the pool.
func (p *Pool) Conn(addr string) (*grpc.ClientConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrPoolClosed
	}
	p.uses++
	if c := p.conns[addr]; c != nil {
		c.used = p.uses
		return c.conn, nil
	}
	if len(p.conns) >= maxPool {
		p.evict()
	}
	conn, err := grpc.NewClient(addr, DialOptions()...)
	if err != nil {
		return nil, fmt.Errorf("connect to node %q: %w", addr, err)
	}
	p.conns[addr] = &pooled{conn: conn, used: p.uses}
	return conn, nil
}

func (p *Pool) evict() {
	oldest := ""
	for addr, c := range p.conns {
		if oldest == "" || c.used < p.conns[oldest].used {
			oldest = addr
		}
	}
	p.conns[oldest].conn.Close()
	delete(p.conns, oldest)
}

// Close closes every connection; calls that run on them fail.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for addr, c := range p.conns {
		if err := c.conn.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close connection to %q: %w", addr, err))
		}
		delete(p.conns, addr)
	}
	return errors.Join(errs...)
}

// DialOptions are how one node of a cluster connects to another.
func DialOptions() []grpc.DialOption {
	return append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
	}, Vigilant()...)
}
