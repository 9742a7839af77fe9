package main

import (
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/leasehold/leasehold/feed"
)

// progressThrottle is how often a progress bar is drawn at most.
const progressThrottle = 100 * time.Millisecond

// newProgress shows long work on a terminal, with its rate; nil where there is no terminal.
func newProgress(f *os.File) feed.Progress {
	if !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &progress{file: f}
}

// progress draws one bar for each stage of the work.
type progress struct {
	file *os.File
	mu   sync.Mutex
	bar  *progressbar.ProgressBar
}

// Stage begins a bar; a total below 0 makes a spinner.
func (p *progress) Stage(name, unit string, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Finish() // a terminal that is gone is nobody's loss
	}
	p.bar = progressbar.NewOptions64(total, progressbar.OptionSetDescription(name), progressbar.OptionSetItsString(unit), progressbar.OptionShowIts(),
		progressbar.OptionShowCount(), progressbar.OptionSetWriter(p.file), progressbar.OptionThrottle(progressThrottle),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))
}

// Add moves the bar on.
func (p *progress) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Add64(n) // a terminal that is gone is nobody's loss
	}
}
