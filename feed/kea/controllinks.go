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

	database database // as of the last read; what read could not learn it does not say
}

// read gives the links; known is false when nobody tells them. An error is one that time may heal: Kea, or whoever stands before it,
// did not answer as it does. That Kea does not let its configuration be read, or that the file cannot be, is logged.
func (s *subnets) read(ctx context.Context) (links []link, known bool, err error) {
	if s.control != nil {
		var text *flat
		if text, err = s.control.configuration(ctx); err == nil {
			links, err = s.take(text)
		}
		if err == nil {
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
	text, err := openConfig(s.file)
	if err == nil {
		links, err = s.take(text)
	}
	if err != nil {
		s.logger.Error("Kea's configuration cannot be read: links are left as they are", "error", err)
		return nil, false, nil
	}
	return links, true, nil
}

// take reads what a configuration says, and tells of what is passed over.
func (s *subnets) take(text *flat) ([]link, error) {
	links, warnings, err := readLinks(text)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		s.logger.Warn("Part of Kea's configuration is passed over", "place", w.Place, "reason", w.Reason)
	}
	s.database = readDatabase(text)
	return links, nil
}

// configuration asks Kea for its configuration.
func (c *Control) configuration(ctx context.Context) (*flat, error) {
	const command = "config-get"
	r, err := c.ask(ctx, command, nil)
	if err != nil {
		return nil, err
	}
	if len(r.arguments) == 0 {
		return nil, fmt.Errorf("%s: %w: no configuration in it", command, ErrReply)
	}
	return plain(command, r.arguments), nil
}

// links asks Kea for its links. The error is a *ConfigError when its configuration means nothing.
func (c *Control) links(ctx context.Context) ([]binding.Link, []Warning, error) {
	text, err := c.configuration(ctx)
	if err != nil {
		return nil, nil, err
	}
	return readLinks(text)
}
