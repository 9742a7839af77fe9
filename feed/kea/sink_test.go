package kea

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a feed.Sink that keeps copies of what it is told.
type recorder struct {
	now      time.Time
	expected int64
	steps    []string // begin, begin+links, end, change
	leases   []*ingestv1.Lease
	links    []*ingestv1.Link
}

func (r *recorder) Expect(n int64) { r.expected = n }
func (r *recorder) Now() time.Time { return r.now }

// Receipt is of nobody: what is recorded is as good as acknowledged.
func (r *recorder) Receipt(context.Context) (<-chan struct{}, error) {
	c := make(chan struct{})
	close(c)
	return c, nil
}

func (r *recorder) Flush(context.Context) error { return nil }

func (r *recorder) BeginResync(_ context.Context, links bool) error {
	step := "begin"
	if links {
		step = "begin with links"
	}
	r.steps = append(r.steps, step)
	return nil
}

func (r *recorder) EndResync(context.Context) error {
	r.steps = append(r.steps, "end")
	return nil
}

func (r *recorder) Change(_ context.Context, c *ingestv1.Change) error {
	c = proto.Clone(c).(*ingestv1.Change)
	switch c := c.GetChange().(type) {
	case *ingestv1.Change_Upsert:
		r.leases = append(r.leases, c.Upsert)
	case *ingestv1.Change_DefineLink:
		r.links = append(r.links, c.DefineLink)
	}
	return nil
}

// read runs a source over files and gives what it stated. Nothing has run out at the time 0.
func read(t *testing.T, config Config, now time.Time) (*recorder, Totals) {
	t.Helper()
	r, totals, err := tryRead(t, config, now)
	if err != nil {
		t.Fatal(err)
	}
	return r, totals
}

func tryRead(t *testing.T, config Config, now time.Time) (*recorder, Totals, error) {
	t.Helper()
	m, err := NewMemfile(config)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{now: now}
	err = m.Run(t.Context(), r)
	return r, m.Totals(), err
}
