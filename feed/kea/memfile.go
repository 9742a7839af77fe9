package kea

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/leasehold/leasehold/feed"
)

// ErrConfig is wrapped by every error about a Config that cannot work.
var ErrConfig = errors.New("kea source configuration")

// Config says what a Memfile reads.
type Config struct {
	Files      []string         // lease files, each with what LFC has set aside of it; of an address that several have, the last file's is used
	KeaConfig  string           // Kea's configuration file, whose subnets become links; empty: links are not stated
	ShiftTimes bool             // replay the files as if their newest transaction were now
	Logger     *slog.Logger     // nil: none
	Progress   feed.Progress    // of reading; nil: none
	Report     func(*LineError) // told of each line that is left out or loses a field; nil: the first maxLogged are logged
}

// maxLogged is how many bad lines are logged, so that a file of them does not fill the log.
const maxLogged = 100

// Totals is what the newest run of a Memfile found.
type Totals struct {
	Files         uint64 // files read
	Octets        uint64 // of these files
	Rows          uint64 // lines, headers left out
	Skipped       uint64 // lines left out because something is wrong with them
	Partial       uint64 // files whose last line was not complete: Kea may have been about to write it
	Superseded    uint64 // lines of a lease in force that a later line of its address superseded
	Ended         uint64 // lines that say that an address is not leased
	Expired       uint64 // leases left out because they have run out
	Leases        uint64 // leases stated
	Links         uint64 // links stated
	WithoutRelays uint64 // leases stated without their relay data, which cannot be used
	WithoutName   uint64 // leases stated without their host name, which DNS does not allow
	Newest        int64  // the newest transaction, seconds since 1970 as in the files
	Shift         int64  // seconds that were added to all times
}

// Memfile is a feed.Source that reads Kea's lease files once.
//
// A lease that has run out by now is not stated: the end of the resync then ends it in the cluster as well.
type Memfile struct {
	config Config

	mu     sync.Mutex
	totals Totals
}

// NewMemfile makes a source; it opens nothing. The error wraps ErrConfig.
func NewMemfile(config Config) (*Memfile, error) {
	if len(config.Files) == 0 {
		return nil, fmt.Errorf("%w: no lease file", ErrConfig)
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Progress == nil {
		config.Progress = noProgress{}
	}
	return &Memfile{config: config}, nil
}

type noProgress struct{}

func (noProgress) Stage(string, string, int64) {}
func (noProgress) Add(int64)                   {}

// Totals is what the newest run found; it may be called from any goroutine.
func (m *Memfile) Totals() Totals {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.totals
}

// Run states the links and all leases in force as one resync, and returns. Its errors are about files that cannot be read at all:
// they name the file, and *ConfigError the place in Kea's configuration.
func (m *Memfile) Run(ctx context.Context, sink feed.Sink) (err error) {
	var links []link
	if m.config.KeaConfig != "" {
		if links, err = m.links(); err != nil {
			return err
		}
	}
	files, err := m.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFiles(files)) }()
	p, err := newPass(ctx, m, files)
	if err != nil {
		return err
	}
	defer func() {
		m.mu.Lock()
		m.totals = p.totals
		m.mu.Unlock()
	}()
	if err := p.find(); err != nil {
		return err
	}
	sink.Expect(int64(len(p.last)))
	if err := sink.BeginResync(ctx, m.config.KeaConfig != ""); err != nil {
		return err
	}
	if err := p.stateLinks(sink, links); err != nil {
		return err
	}
	if err := p.stateLeases(sink); err != nil {
		return err
	}
	if err := sink.EndResync(ctx); err != nil {
		return err
	}
	p.summarize()
	return nil
}

// links reads Kea's configuration and reports what in it is passed over.
func (m *Memfile) links() ([]link, error) {
	links, warnings, err := ReadConfig(m.config.KeaConfig)
	for _, w := range warnings {
		m.config.Logger.Warn("Part of Kea's configuration is passed over", "place", w.Place, "reason", w.Reason)
	}
	return links, err
}

// open opens all files, in the order in which they are read.
func (m *Memfile) open(ctx context.Context) ([]leaseFile, error) {
	var files []leaseFile
	for _, path := range m.config.Files {
		set, err := openBegun(ctx, realDisk{}, path)
		if err != nil {
			return nil, errors.Join(err, closeFiles(files))
		}
		files = append(files, set...)
	}
	if len(files) > maxFiles {
		return nil, errors.Join(fmt.Errorf("%w: %d lease files, at most %d", ErrConfig, len(files), maxFiles), closeFiles(files))
	}
	return files, nil
}

// shift is what to add to all times, in whole seconds.
func (m *Memfile) shift(newest int64, now time.Time) int64 {
	if !m.config.ShiftTimes || newest == 0 {
		return 0
	}
	return now.Unix() - newest
}
