package feed

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestTroubles(t *testing.T) {
	var log bytes.Buffer
	troubles := NewTroubles(slog.New(slog.NewTextHandler(&log, nil)))
	for _, step := range []struct {
		about, err, shown, logged string // logged: part of the line that is new; empty: none is
	}{
		{"the file", "", "", ""},
		{"the socket", "in use", "in use", "Trouble with the socket"},
		{"the socket", "in use", "in use", ""},
		{"the file", "away", "away", "Trouble with the file"},
		{"the file", "odd", "odd", "error=odd"},
		{"the file", "", "in use", "No more trouble with the file"},
		{"the socket", "", "", "No more trouble with the socket"},
	} {
		log.Reset()
		var err error
		if step.err != "" {
			err = errors.New(step.err)
		}
		troubles.Set(step.about, err)
		if shown := troubles.String(); shown != step.shown || !strings.Contains(log.String(), step.logged) || (log.Len() > 0) != (step.logged != "") {
			t.Errorf("%+v: %q, logged %q", step, shown, log.String())
		}
	}
}
