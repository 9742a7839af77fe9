package leasehold

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"google.golang.org/grpc"

	"github.com/leasehold/leasehold/feed"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// Config says what is fed, and whom.
type Config struct {
	Source      string   // name of this DHCP server in the cluster
	Cluster     []string // gRPC addresses of nodes, host:port
	DialOptions []grpc.DialOption
	// Wait is for how long a reply waits until a majority of the cluster has its leases. A reply that has waited in vain is not sent:
	// the client asks again. 0: replies do not wait, and a lease of the last milliseconds is lost with the program.
	Wait   time.Duration
	Logger *slog.Logger
}

// queued is how many replies may wait for the feeder, and queueWait for how long a reply waits for room there. Then it is not sent.
const (
	queued    = 1024
	queueWait = time.Second
)

// Handler is the plugin's handler of messages, and its feeder.
type Handler struct {
	config Config
	agent  *feed.Agent
	source *source
}

// New makes a handler; it starts nothing.
func New(config Config) (*Handler, error) {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	s := &source{news: make(chan *news, queued), known: map[string]*ingestv1.Change{}, at: map[string]time.Time{}}
	agent, err := feed.New(feed.Config{Source: config.Source, Cluster: config.Cluster, DialOptions: config.DialOptions, Logger: config.Logger}, s)
	if err != nil {
		return nil, fmt.Errorf("leasehold: %w", err)
	}
	return &Handler{config: config, agent: agent, source: s}, nil
}

// Run feeds the cluster until ctx ends.
func (h *Handler) Run(ctx context.Context) error { return h.agent.Run(ctx) }

// Handle passes on what a reply grants, and what a client gives back. It never changes the reply; it may withhold it.
func (h *Handler) Handle(req, resp dhcpv6.DHCPv6) (dhcpv6.DHCPv6, bool) {
	changes, err := changesOf(req, resp)
	switch {
	case err != nil:
		h.config.Logger.Warn("Leases are not told", "error", err)
		return resp, false
	case len(changes) == 0:
		return resp, false
	}
	n := &news{changes: changes, at: time.Now(), receipt: make(chan (<-chan struct{}), 1)}
	room := time.NewTimer(queueWait)
	defer room.Stop()
	select {
	case h.source.news <- n:
	case <-room.C:
		h.config.Logger.Error("The cluster takes too long: a reply is withheld")
		return nil, true
	}
	if h.config.Wait > 0 && !h.acknowledged(n) {
		h.config.Logger.Warn("The cluster did not acknowledge in time: a reply is withheld", "wait", h.config.Wait)
		return nil, true
	}
	return resp, false
}

// acknowledged waits until the cluster has the news.
func (h *Handler) acknowledged(n *news) bool {
	end := time.NewTimer(h.config.Wait)
	defer end.Stop()
	var receipt <-chan struct{}
	select {
	case receipt = <-n.receipt:
	case <-end.C:
		return false
	}
	select {
	case <-receipt:
		return true
	case <-end.C:
		return false
	}
}
