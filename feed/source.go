package feed

import (
	"context"
	"time"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// Source states what a DHCP server has.
type Source interface {
	// Run states everything to the sink as one resync: BeginResync, the links if it knows them, every lease, EndResync. A source
	// that follows its server then goes on stating changes until ctx ends; a source that has said everything returns nil.
	//
	// Run is called anew, with another sink, when the cluster no longer knows the session: it then begins again. It never runs
	// twice at a time. An error of the sink is to be returned as it is.
	Run(ctx context.Context, sink Sink) error
}

// Sink takes what a source states, in order. It is used by one goroutine. Its calls wait while too much is unacknowledged; their
// errors are the end of ctx.
type Sink interface {
	// Expect tells how many changes the next resync will have, for progress. A source that does not know does not call it.
	Expect(changes int64)
	// BeginResync begins a full statement of what the source has; links tells whether that includes its links.
	BeginResync(ctx context.Context, links bool) error
	// EndResync ends it: what was not stated since BeginResync is gone.
	EndResync(ctx context.Context) error
	// Now is the instant from which the ages of the next change count: age = Now - the time that the source gives.
	Now() time.Time
	// Change states one change. It is encoded before Change returns: c and all it holds may be used again. A change that cannot
	// be sent is reported and counted as refused, which is no error here.
	Change(ctx context.Context, c *ingestv1.Change) error
	// Flush sends what was stated so far without waiting for a batch to fill: for a source that has nothing more to say for now.
	Flush(ctx context.Context) error
	// Receipt flushes. The channel is closed when the cluster has acknowledged everything that was stated before: it survives then
	// whatever a minority of the nodes suffers. While the cluster is away, and when Run is to begin anew, it is not closed; whoever
	// waits for it waits for ctx too.
	Receipt(ctx context.Context) (<-chan struct{}, error)
}

// Condition is what a source knows about itself and its server.
type Condition struct {
	Refused  uint64        // records of the server that could not be used, since the program began
	Skew     time.Duration // the server's clock minus this machine's
	Measured bool          // whether Skew was measured: false when the server does not tell its time
	Trouble  string        // what keeps the source from its server now, for people; empty: nothing
}

// Reporter is a Source that knows its condition.
type Reporter interface {
	Source
	// Condition is the newest; it may be called at any time from any goroutine, and does not wait for the server.
	Condition() Condition
}

// Progress is told of long work, for people to watch. Its methods may be called from several goroutines.
type Progress interface {
	// Stage begins a stage of the work: what is done, to what, and how many of those there are; below 0 when that is not known.
	Stage(name, unit string, total int64)
	// Add tells that n more were done.
	Add(n int64)
}

// silent is the Progress of nobody.
type silent struct{}

func (silent) Stage(string, string, int64) {}
func (silent) Add(int64)                   {}
