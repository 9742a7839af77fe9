package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/feed/upstream"
	"github.com/leasehold/leasehold/fsm/binding"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
	"github.com/leasehold/leasehold/protocol/dhcpv6"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// openUpstream makes a source of a server that speaks leasequery. cluster is fed, and must not be the server itself.
func openUpstream(name string, c *config.Upstream, cluster []string, log *slog.Logger) (feederSource, error) {
	u := upstream.Config{Servers: c.Servers, Active: c.Active, Everything: c.Everything, Every: c.Every, Logger: log,
		Own: func(ctx context.Context) ([]byte, error) { return serverDUID(ctx, cluster) }}
	u.Requestor.ClientID = newDUID()
	if t := c.TLS; t.Certificate != "" {
		client, err := starttls.NewClient(starttls.ClientFiles{CA: t.CA, Certificate: t.Certificate, Key: t.Key, ServerName: t.ServerName})
		if err != nil {
			return feederSource{}, err
		}
		u.Requestor.TLS = client
	}
	if err := addQueries(&u, c); err != nil {
		return feederSource{}, err
	}
	s, err := upstream.New(u)
	return feederSource{name: name, source: s}, err
}

// addQueries reads what the server is asked for.
func addQueries(u *upstream.Config, c *config.Upstream) error {
	links, err := sourceLinks(c.Links)
	if err != nil {
		return err
	}
	for _, l := range links {
		u.Links = append(u.Links, upstream.Link{Name: l.Label, Prefixes: l.Prefixes, Relays: l.Relays})
	}
	for _, s := range c.RemoteIDs {
		b, err := parseRemoteID(s)
		if err != nil {
			return err
		}
		id, err := dhcpv6.ParseRemoteID(b)
		if err != nil {
			return err
		}
		u.RemoteIDs = append(u.RemoteIDs, id)
	}
	if u.RelayIDs, err = parseAllHex(c.RelayIDs); err != nil {
		return err
	}
	u.ClientIDs, err = parseAllHex(c.ClientIDs)
	return err
}

func parseAllHex(all []string) (out [][]byte, err error) {
	for _, s := range all {
		b, err := binding.ParseHex(s)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", s, err)
		}
		out = append(out, b)
	}
	return out, nil
}

// serverDUID asks the cluster for the DUID that it answers relays with.
func serverDUID(ctx context.Context, cluster []string) (duid []byte, err error) {
	call := adminCall{cluster: cluster, timeout: 5 * time.Second}
	err = call.do(ctx, func(ctx context.Context, admin adminv1.AdminClient) error {
		r, err := admin.Status(ctx, &adminv1.StatusRequest{})
		duid = r.GetServerDuid()
		return err
	})
	return duid, err
}
