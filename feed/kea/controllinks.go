package kea

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// configRest is how long Kea is not asked for its configuration again, times as long as it took, as long as it says that it has not read
// it anew: while it writes thousands of subnets down it answers nobody, and with pages alone there is a statement every minute.
const configRest = 600

// subnets is where the links of Kea come from: what Kea itself says, or its configuration file where it says nothing.
type subnets struct {
	control *Control // nil: none
	file    string   // empty: none
	logger  *slog.Logger

	database database // as of the last read; what read could not learn it does not say

	said   string // what was logged last
	warned string // of which parts
	last   struct {
		links []link
		of    health
		at    time.Time
		took  time.Duration
	}
}

// of is read, for a Kea that has just said how it is.
func (s *subnets) of(ctx context.Context, h health) (links []link, known bool, err error) {
	l := &s.last
	same := h.process && l.of.process && h.pid == l.of.pid && !h.reloaded.after(l.of.reloaded)
	if same && time.Since(l.at) < configRest*l.took {
		return l.links, true, nil
	}
	l.of.process = false
	began := time.Now()
	links, known, err = s.read(ctx)
	if err == nil && known {
		l.links, l.of, l.at, l.took = links, h, time.Now(), time.Since(began)
	}
	return links, known, err
}

// say logs what is not the same as the last time.
func (s *subnets) say(level slog.Level, message string, args ...any) {
	if text := fmt.Sprint(append(args, message)...); text != s.said {
		s.said = text
		s.logger.Log(context.Background(), level, message, args...)
	}
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
			s.said = ""
			return links, true, nil
		}
		var broken *ConfigError
		if !errors.Is(err, ErrForbidden) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, errTooLong) && !errors.As(err, &broken) {
			return nil, false, err
		}
		if s.file == "" {
			s.say(slog.LevelWarn, "Kea does not tell its subnets, and no configuration file is given: links are left as they are", "error", err)
			return nil, false, nil
		}
		s.say(slog.LevelInfo, "Kea does not tell its subnets: its configuration file is read", "file", s.file, "reason", err)
	}
	if s.file == "" {
		return nil, false, nil
	}
	text, err := openConfig(s.file)
	if err == nil {
		links, err = s.take(text)
	}
	if err != nil {
		s.say(slog.LevelError, "Kea's configuration cannot be read: links are left as they are", "error", err)
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
	if text := fmt.Sprint(warnings); text != s.warned {
		s.warned = text
		for _, w := range warnings {
			s.logger.Warn("Part of Kea's configuration is passed over", "place", w.Place, "reason", w.Reason)
		}
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
