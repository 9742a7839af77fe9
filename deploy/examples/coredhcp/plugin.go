package leasehold

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coredhcp/coredhcp/handler"
	"github.com/coredhcp/coredhcp/plugins"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Plugin is what coredhcp registers.
var Plugin = plugins.Plugin{Name: "leasehold", Setup6: setup}

// setup reads the plugin's arguments and starts the feeder, which runs as long as the program: coredhcp never stops a plugin.
func setup(args ...string) (handler.Handler6, error) {
	config, err := parseArguments(args)
	if err != nil {
		return nil, err
	}
	h, err := New(config)
	if err != nil {
		return nil, err
	}
	go func() {
		if err := h.Run(context.Background()); err != nil {
			config.Logger.Error("The feeder has ended: leases no longer reach the cluster", "error", err)
		}
	}()
	return h.Handle, nil
}

// parseArguments reads arguments of the form name=value.
func parseArguments(args []string) (Config, error) {
	c := Config{Logger: slog.Default()}
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "source":
			c.Source = value
		case "cluster":
			c.Cluster = strings.Split(value, ",")
		case "wait":
			d, err := time.ParseDuration(value)
			if err != nil {
				return c, fmt.Errorf("leasehold: wait: %w", err)
			}
			c.Wait = d
		case "insecure":
			c.DialOptions = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
		default:
			return c, fmt.Errorf("leasehold: unknown argument %q: want source=, cluster=, wait= and insecure", a)
		}
	}
	if c.DialOptions == nil {
		return c, errors.New("leasehold: this example speaks to the cluster in clear: say insecure")
	}
	return c, nil
}
