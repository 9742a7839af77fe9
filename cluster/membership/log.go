package membership

import (
	"context"
	"log"
	"log/slog"
	"strings"
)

// lines turns memberlist's lines, "[WARN] memberlist: text", into slog records.
type lines struct {
	to *slog.Logger
}

func stdLogger(to *slog.Logger) *log.Logger { return log.New(lines{to}, "", 0) }

// Write takes one line.
func (l lines) Write(b []byte) (int, error) {
	text, level := strings.TrimSpace(string(b)), slog.LevelInfo
	for _, p := range []struct {
		prefix string
		level  slog.Level
	}{
		{"[DEBUG] ", slog.LevelDebug}, {"[INFO] ", slog.LevelInfo}, {"[WARN] ", slog.LevelWarn},
		{"[ERR] ", slog.LevelError}, {"[ERROR] ", slog.LevelError},
	} {
		if rest, ok := strings.CutPrefix(text, p.prefix); ok {
			text, level = rest, p.level
			break
		}
	}
	text, _, _ = strings.Cut(text, " meta:([") // what a node says of itself, octet by octet in decimal
	l.to.Log(context.Background(), level, strings.TrimPrefix(text, "memberlist: "))
	return len(b), nil
}
