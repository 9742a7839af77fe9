package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestRaftLogsThroughSlog(t *testing.T) {
	var out bytes.Buffer
	to := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))
	l := raftLogger(to).Named("snapshot").With("peer", "b")
	l.Debug("not shown")
	l.Trace("not shown")
	l.Info("started", "term", 3)
	l.Warn("slow", "took", hclog.Fmt("%d ms", 12))
	l.Error("gone")
	l.StandardLogger(nil).Print("plain")
	for _, want := range []string{
		`level=INFO msg=started component=raft component=raft.snapshot peer=b term=3`, `level=WARN msg=slow`, `took="12 ms"`, `level=ERROR msg=gone`, `msg=plain`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "not shown") {
		t.Errorf("log shows what is below its level:\n%s", out.String())
	}
	if l.GetLevel() != hclog.Info || l.IsDebug() || l.IsTrace() || !l.IsInfo() || !l.IsWarn() || !l.IsError() {
		t.Errorf("level %v", l.GetLevel())
	}
	if l.Name() != "raft.snapshot" || len(l.ImpliedArgs()) != 2 {
		t.Errorf("name %q, implied %v", l.Name(), l.ImpliedArgs())
	}
}
