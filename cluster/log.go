package cluster

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"slices"

	"github.com/hashicorp/go-hclog"
)

// bridge is an hclog.Logger that writes to slog, for Raft.
type bridge struct {
	to   *slog.Logger
	name string
	args []any
}

var _ hclog.Logger = (*bridge)(nil)

func raftLogger(to *slog.Logger) hclog.Logger {
	return &bridge{to: to.With("component", "raft"), name: "raft"}
}

func slogLevel(l hclog.Level) slog.Level {
	switch l {
	case hclog.Trace:
		return slog.LevelDebug - 4
	case hclog.Debug:
		return slog.LevelDebug
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Error:
		return slog.LevelError
	}
	return slog.LevelInfo
}

// Log writes one line.
func (b *bridge) Log(level hclog.Level, msg string, args ...any) {
	l := slogLevel(level)
	if !b.to.Enabled(context.Background(), l) {
		return
	}
	args = slices.Clone(args)
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	b.to.Log(context.Background(), l, msg, args...)
}

// Trace writes at slog.LevelDebug-4.
func (b *bridge) Trace(msg string, args ...any) { b.Log(hclog.Trace, msg, args...) }

// Debug writes at slog.LevelDebug.
func (b *bridge) Debug(msg string, args ...any) { b.Log(hclog.Debug, msg, args...) }

// Info writes at slog.LevelInfo.
func (b *bridge) Info(msg string, args ...any) { b.Log(hclog.Info, msg, args...) }

// Warn writes at slog.LevelWarn.
func (b *bridge) Warn(msg string, args ...any) { b.Log(hclog.Warn, msg, args...) }

// Error writes at slog.LevelError.
func (b *bridge) Error(msg string, args ...any) { b.Log(hclog.Error, msg, args...) }

func (b *bridge) enabled(l hclog.Level) bool { return b.to.Enabled(context.Background(), slogLevel(l)) }

// IsTrace tells whether Trace writes.
func (b *bridge) IsTrace() bool { return b.enabled(hclog.Trace) }

// IsDebug tells whether Debug writes.
func (b *bridge) IsDebug() bool { return b.enabled(hclog.Debug) }

// IsInfo tells whether Info writes.
func (b *bridge) IsInfo() bool { return b.enabled(hclog.Info) }

// IsWarn tells whether Warn writes.
func (b *bridge) IsWarn() bool { return b.enabled(hclog.Warn) }

// IsError tells whether Error writes.
func (b *bridge) IsError() bool { return b.enabled(hclog.Error) }

// ImpliedArgs is what With added.
func (b *bridge) ImpliedArgs() []any { return b.args }

// With adds attributes to every line.
func (b *bridge) With(args ...any) hclog.Logger {
	return &bridge{to: b.to.With(args...), name: b.name, args: append(slices.Clip(b.args), args...)}
}

// Name is the logger's name.
func (b *bridge) Name() string { return b.name }

// Named adds to the name.
func (b *bridge) Named(name string) hclog.Logger { return b.ResetNamed(b.name + "." + name) }

// ResetNamed sets the name.
func (b *bridge) ResetNamed(name string) hclog.Logger {
	return &bridge{to: b.to.With("component", name), name: name, args: b.args}
}

// SetLevel does nothing: slog's handler has the level.
func (b *bridge) SetLevel(hclog.Level) {}

// GetLevel is the lowest level that is written.
func (b *bridge) GetLevel() hclog.Level {
	for _, l := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn} {
		if b.enabled(l) {
			return l
		}
	}
	return hclog.Error
}

// StandardLogger is a log.Logger that writes at slog.LevelInfo.
func (b *bridge) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(b.to.Handler(), slog.LevelInfo)
}

// StandardWriter is the writer of StandardLogger.
func (b *bridge) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return b.StandardLogger(o).Writer()
}
