package main

import (
	"errors"
	"log/slog"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
)

// openSource makes the source of a stanza and opens what it listens on.
func openSource(c config.Source, cluster []string, log *slog.Logger) (feederSource, error) {
	switch {
	case c.Kea != nil:
		return openKea(c.Name, c.Kea, log)
	case c.Upstream != nil:
		return openUpstream(c.Name, c.Upstream, cluster, log)
	}
	return feederSource{}, errors.New("no kind of source") // the configuration was checked
}

// orElseResync is how often a source states everything again.
func orElseResync(d time.Duration) time.Duration {
	if d == 0 {
		return config.DefaultResync
	}
	return d
}
