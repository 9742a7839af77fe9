package bulk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// Retire is for the time before a planned stop. Everybody is answered as before, newcomers too, but connections are not kept: one
// that has been idle for a second is closed (RFC 5460 7.4), one on which answers run right behind the last of them, so that its
// requestor asks its next query wherever the server's address is then. Subscriptions end with QueryTerminated, and nobody may subscribe
// any more. It may be called more than once, and from anywhere.
func (s *Server) Retire() {
	s.retiring.Store(true)
	s.admission.each((*conn).retire)
}

// idleTimeout is how long a connection may be without a query.
func (s *Server) idleTimeout() time.Duration {
	if s.retiring.Load() {
		return min(s.config.IdleTimeout, retireIdle)
	}
	return s.config.IdleTimeout
}

// Drain stops accepting, reads no further query, ends subscriptions with QueryTerminated (RFC 7653 8.4) and waits until every connection
// is closed. Running answers may go on until ctx ends; then each ends with QueryTerminated (RFC 5460 5.5). It may be called more than once, and from anywhere.
func (s *Server) Drain(ctx context.Context) {
	s.beginDrain()
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		s.serving.Wait()
	}()
	select {
	case <-idle:
		return
	case <-ctx.Done():
	}
	ended := 0
	s.admission.each(func(c *conn) {
		ended++
		c.end(endDrain, "the server is shutting down")
	})
	if ended > 0 {
		s.log.Info("answers end with QueryTerminated: the server is shutting down", "connections", ended)
	}
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-idle:
		return
	case <-grace.C:
	}
	s.kill()
	s.admission.each(func(c *conn) { reset(c.socket); c.close() })
	<-idle
}

// beginDrain stops accepting and reading queries, once.
func (s *Server) beginDrain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained {
		return
	}
	s.drained = true
	close(s.draining)
	s.admission.close()
	if s.listener != nil {
		if err := closeListener(s.listener); err != nil {
			s.log.Warn("bulk leasequery listener", "err", err)
		}
	}
	s.admission.each((*conn).drain)
}

func closeListener(l net.Listener) error {
	if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close listener %v: %w", l.Addr(), err)
	}
	return nil
}

func (s *Server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// drain stops the reading of further queries. What runs goes on; without any the connection ends.
func (c *conn) drain() {
	c.mu.Lock()
	c.draining = true
	subscribed := c.subscription != nil
	c.armRead(time.Now())
	c.mu.Unlock()
	signal(c.room)
	if subscribed { // it would never end by itself
		c.end(endDrain, "the server is shutting down")
	}
}

// retire lets the new idle time count, and ends a subscription, which would not end by itself.
func (c *conn) retire() {
	c.mu.Lock()
	subscribed := c.subscription != nil
	if len(c.queries) == 0 {
		c.armRead(time.Now())
	}
	c.mu.Unlock()
	if subscribed {
		c.end(endRetired, "the server is about to stop; subscribe at another")
	}
}
