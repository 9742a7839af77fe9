package kea

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/leasehold/leasehold/fsm/binding"
)

// subnets is where the links of Kea come from: what Kea itself says, or its configuration file where it says nothing.
type subnets struct {
	control *Control // nil: none
	file    string   // empty: none
	logger  *slog.Logger
}

// read gives the links; known is false when nobody tells them. An error is one that time may heal: Kea, or whoever stands before it,
// did not answer as it does. That Kea does not let its configuration be read, or that the file cannot be, is logged.
func (s *subnets) read(ctx context.Context) (links []link, known bool, err error) {
	var warnings []Warning
	if s.control != nil {
		links, warnings, err = s.control.links(ctx)
		if err == nil {
			s.warn(warnings)
			return links, true, nil
		}
		var broken *ConfigError
		if !errors.Is(err, ErrForbidden) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, errTooLong) && !errors.As(err, &broken) {
			return nil, false, err
		}
		if s.file == "" {
			s.logger.Warn("Kea does not tell its subnets, and no configuration file is given: links are left as they are", "error", err)
			return nil, false, nil
		}
		s.logger.Info("Kea does not tell its subnets: its configuration file is read", "file", s.file, "reason", err)
	}
	if s.file == "" {
		return nil, false, nil
	}
	links, warnings, err = ReadConfig(s.file)
	if err != nil {
		s.logger.Error("Kea's configuration cannot be read: links are left as they are", "error", err)
		return nil, false, nil
	}
	s.warn(warnings)
	return links, true, nil
}

func (s *subnets) warn(warnings []Warning) {
	for _, w := range warnings {
		s.logger.Warn("Part of Kea's configuration is passed over", "place", w.Place, "reason", w.Reason)
	}
}

// links asks Kea for its configuration. The error is a *ConfigError when Kea's means nothing.
func (c *Control) links(ctx context.Context) ([]binding.Link, []Warning, error) {
	const command = "config-get"
	r, err := c.ask(ctx, command, nil)
	if err != nil {
		return nil, nil, err
	}
	if len(r.arguments) == 0 {
		return nil, nil, fmt.Errorf("%s: %w: no configuration in it", command, ErrReply)
	}
	return readLinks(plain(command, r.arguments))
}
