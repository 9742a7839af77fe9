package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/protocol/starttls"
)

// reloads is the annotation of a command that SIGHUP does not end.
const reloads = "leasehold_reloads"

// reloading tells whether the arguments call a command that takes SIGHUP as a wish to read its files again.
func reloading(root *cobra.Command, args []string) bool {
	c, _, err := root.Find(args)
	return err == nil && c.Annotations[reloads] != ""
}

// loadCredentials reads the files of TLS; nil where TLS is off.
func loadCredentials(cfg config.TLS, registry prometheus.Registerer, log *slog.Logger) (*starttls.Credentials, error) {
	if cfg.Mode == config.TLSOff {
		return nil, nil
	}
	return starttls.Load(cfg.Files(), log.With("part", "tls"), starttls.NewMetrics(registry))
}

// reloadOnHangup reads the files of TLS again at each SIGHUP, until ctx ends.
func (n *process) reloadOnHangup(ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-hangup:
			n.reload()
		case <-ctx.Done():
			return
		}
	}
}

// reload reads the files of TLS again. The rest of the configuration counts from the next start on.
func (n *process) reload() {
	if n.tls == nil {
		n.log.Info("SIGHUP: nothing to read again, TLS is off; the configuration is read at the next start")
		return
	}
	if err := n.tls.Reload(); err != nil {
		n.log.Error("SIGHUP: the files of TLS cannot be used; going on with the former ones", "err", err)
		return
	}
	n.log.Info("SIGHUP: the files of TLS were read again")
}
