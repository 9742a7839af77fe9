package starttls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultHandshakeTimeout is how long STARTTLS and the handshake may take.
const DefaultHandshakeTimeout = 10 * time.Second

// pollEvery is how often the files are looked at.
const pollEvery = 10 * time.Second

var (
	// errExpired says that a new certificate has ended already.
	errExpired = errors.New("the certificate has expired")
	// errEarly says that a new certificate has not begun yet.
	errEarly = errors.New("the certificate is not valid yet")
)

// Credentials is what a server shows and whom it believes. Handshakes take what is the newest when they begin; connections that have
// theirs behind them are not touched by a change. Any number of goroutines may use it. Make one with Load.
type Credentials struct {
	files   Files
	log     *slog.Logger
	metrics *Metrics
	current atomic.Pointer[material]
	buffers sync.Pool // of *[]byte: for what Conns have sealed

	mu   sync.Mutex
	seen contents // what was read last, good or bad; guarded by mu
	soon bool     // it is good, and its certificate has not begun yet; guarded by mu
}

// Load reads the files. A certificate that has expired is told and taken: requestors will refuse it, and a node is of use in clear. A nil
// logger discards; nil metrics are counted for nobody.
func Load(files Files, log *slog.Logger, metrics *Metrics) (*Credentials, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if metrics == nil {
		metrics = NewMetrics(nil)
	}
	c := &Credentials{files: files, log: log, metrics: metrics}
	seen, err := files.read()
	if err != nil {
		return nil, err
	}
	m, err := files.parse(seen)
	if err != nil {
		return nil, err
	}
	c.seen = seen
	c.take(m)
	if !time.Now().Before(m.notAfter) {
		log.Error("the TLS certificate has expired: requestors will refuse it", "file", files.Certificate, "not_after", m.notAfter)
	}
	return c, nil
}

// take makes m what further handshakes use.
func (c *Credentials) take(m *material) {
	c.current.Store(m)
	c.metrics.notAfter.Set(float64(m.notAfter.Unix()))
	c.metrics.caNotAfter.Set(float64(m.caNotAfter.Unix()))
}

// Run looks at the files every few seconds and takes what has changed, until ctx ends; it returns nil then. What cannot be used is logged
// and counted once, and the former files go on being used.
func (c *Credentials) Run(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.look()
		case <-ctx.Done():
			return nil
		}
	}
}

// look takes the files if they have changed, and says so.
func (c *Credentials) look() {
	changed, err := c.reload()
	switch {
	case err != nil && changed:
		c.log.Error("changed TLS files cannot be used; going on with the former ones", "err", err)
	case changed:
		c.log.Info("changed TLS files taken", "not_after", c.current.Load().notAfter)
	}
}

// Reload takes the files if they have changed. When the new ones cannot be used the former go on being used, and the error says why.
func (c *Credentials) Reload() error {
	_, err := c.reload()
	return err
}

// reload tells, besides, whether the files are others than when they were last read.
func (c *Credentials) reload() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, err := c.files.read()
	if err == nil && now.equal(c.seen) {
		m, err := c.usable(now)
		if !c.soon || err != nil {
			return false, err
		}
		c.taken(m)
		return true, nil
	}
	changed = err == nil || !c.seen.equal(contents{})
	c.seen = now // what cannot be read is nothing, and told once
	var m *material
	if err == nil {
		m, err = c.usable(now)
	}
	if !changed {
		return false, err
	}
	c.soon = errors.Is(err, errEarly)
	if err != nil {
		c.metrics.reloads.WithLabelValues("failed").Inc()
		return true, err
	}
	c.taken(m)
	return true, nil
}

// taken makes m what further handshakes use, and counts it. mu is held.
func (c *Credentials) taken(m *material) {
	c.soon = false
	c.metrics.reloads.WithLabelValues("ok").Inc()
	c.take(m)
}

// usable is what the contents hold. A certificate that has expired, or has not begun, does not take the place of one that is valid.
func (c *Credentials) usable(now contents) (*material, error) {
	m, err := c.files.parse(now)
	if err != nil {
		return nil, err
	}
	t, former := time.Now(), c.current.Load()
	switch {
	case !t.Before(m.notAfter) && t.Before(former.notAfter):
		return nil, fmt.Errorf("TLS: %s: %w", c.files.Certificate, errExpired)
	case t.Before(m.notBefore) && !t.Before(former.notBefore) && t.Before(former.notAfter):
		return nil, fmt.Errorf("TLS: %s: %w until %v", c.files.Certificate, errEarly, m.notBefore)
	}
	return m, nil
}

// config is what one handshake goes by. verify gets the names in the requestor's verified certificate; its error ends the handshake.
func (c *Credentials) config(verify func(names []string) error) *tls.Config {
	m := c.current.Load()
	config := profile()
	config.Certificates = []tls.Certificate{m.certificate}
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, m.authorities
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if err := strong(s.VerifiedChains); err != nil {
			return err
		}
		return verify(Names(s.PeerCertificates[0]))
	}
	return config
}
