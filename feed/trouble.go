package feed

import (
	"log/slog"
	"sync"
)

// Troubles is what keeps a source from its server, by what it is about: a file, a socket. It may be used by several goroutines.
type Troubles struct {
	log *slog.Logger

	mu     sync.Mutex
	abouts []string // those that there were, in order
	texts  map[string]string
}

// NewTroubles has none. What is new, and what is over, is logged, with what it is about.
func NewTroubles(log *slog.Logger) *Troubles { return &Troubles{log: log, texts: map[string]string{}} }

// Set notes trouble about something; nil: there is none, or it is over.
func (t *Troubles) Set(about string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	t.mu.Lock()
	before, known := t.texts[about]
	if !known {
		t.abouts = append(t.abouts, about)
	}
	t.texts[about] = text
	t.mu.Unlock()
	switch {
	case text == before:
	case err != nil:
		t.log.Warn("Trouble with "+about, "error", err)
	default:
		t.log.Info("No more trouble with " + about)
	}
}

// String is the first that there is, for Condition.Trouble; empty: none.
func (t *Troubles) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, about := range t.abouts {
		if text := t.texts[about]; text != "" {
			return text
		}
	}
	return ""
}
