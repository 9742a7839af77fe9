package clustertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
)

// port keeps a TCP port for the whole life of a cluster, so that a node that is started again finds it free. While no node
// has it, connections are closed at once.
type port struct {
	ln   net.Listener
	done sync.WaitGroup

	mu     sync.Mutex
	holder *held
}

// lowPort is a loopback address that nobody uses over TCP or UDP, with a port below those that the kernel gives to whoever wants any: it
// is free again whenever a node has left it.
func lowPort() (string, error) {
	alone := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) { // a port that is only held is taken, too
		if failed := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 0) }); failed != nil {
			err = failed
		}
		return err
	}}
	var last error
	for range 500 {
		at := fmt.Sprintf("127.0.0.1:%d", 10240+rand.IntN(32768-10240))
		tcp, err := alone.Listen(context.Background(), "tcp", at)
		if err == nil {
			var udp net.PacketConn
			if udp, err = alone.ListenPacket(context.Background(), "udp", at); err == nil {
				err = udp.Close()
			}
			if err = errors.Join(err, tcp.Close()); err == nil {
				return at, nil
			}
		}
		last = err
	}
	return "", last
}

func newPort() (*port, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &port{ln: ln}
	p.done.Go(p.accept)
	return p, nil
}

func (p *port) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		h := p.holder
		p.mu.Unlock()
		if h == nil {
			_ = c.Close()
			continue
		}
		select {
		case h.conns <- c:
		case <-h.done:
			_ = c.Close()
		}
	}
}

func (p *port) close() {
	_ = p.ln.Close()
	p.done.Wait()
}

// take gives the port to a node until it closes what it gets.
func (p *port) take() net.Listener {
	h := &held{port: p, conns: make(chan net.Conn), done: make(chan struct{})}
	p.mu.Lock()
	p.holder = h
	p.mu.Unlock()
	return h
}

// held is a node's hold on a port.
type held struct {
	port  *port
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// Accept waits for a connection.
func (h *held) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close gives the port back.
func (h *held) Close() error {
	h.once.Do(func() {
		close(h.done)
		h.port.mu.Lock()
		defer h.port.mu.Unlock()
		if h.port.holder == h {
			h.port.holder = nil
		}
	})
	return nil
}

// Addr is the port's address.
func (h *held) Addr() net.Addr { return h.port.ln.Addr() }
