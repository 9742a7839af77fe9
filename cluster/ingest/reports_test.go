package ingest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/leasehold/leasehold/fsm"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

func (f *feeder) report(r *ingestv1.Report) {
	f.t.Helper()
	f.request(&ingestv1.FeedRequest{Request: &ingestv1.FeedRequest_Report{Report: r}})
}

// TestReportsAreKept: the newest report of each agent, whichever node it came through, and between batches.
func TestReportsAreKept(t *testing.T) {
	_, leader, addr := lonely(t)
	_, other, through := following(t, addr)
	first, second := call(t, addr, "kea", 1), call(t, through, "kea", 2)
	for _, f := range []*feeder{first, second} {
		if w := f.welcome(); !w.GetTakesReports() {
			t.Fatalf("welcome %v does not take reports", w)
		}
	}
	first.report(&ingestv1.Report{Instance: "a", LagMs: 1})
	first.changes(1, leases(0, 3)...)
	first.report(&ingestv1.Report{Instance: "a", LagMs: 2, SkewMs: proto.Int64(-3), ClockMs: 99, Trouble: strings.Repeat("x", 3000)})
	first.acked(1)
	second.report(&ingestv1.Report{Instance: "b"})
	second.report(&ingestv1.Report{Instance: "not b", LagMs: 5})
	until(t, "the newest of both are kept", func() bool {
		r := leader.Reports()
		return len(r) == 2 && r[0].Report.GetLagMs() == 2 && r[1].Report.GetLagMs() == 5
	})
	a, b := leader.Reports()[0], leader.Reports()[1]
	if a.Source != "kea" || a.Report.GetInstance() != "a" || !a.Connected || a.Report.GetSkewMs() != -3 || a.Report.GetClockMs() != 99 ||
		len(a.Report.GetTrouble()) != maxTroubleText || time.Since(a.Received) > patience {
		t.Errorf("report %+v", a)
	}
	if b.Report.GetInstance() != "b" || !b.Connected {
		t.Errorf("a session reports for %q as well, want \"b\" alone: %+v", b.Report.GetInstance(), b)
	}
	if len(other.Reports()) != 0 {
		t.Errorf("a node that does not lead keeps %v", other.Reports())
	}
	second.hangUp()
	until(t, "the end of a session is noticed", func() bool { r := leader.Reports(); return len(r) == 2 && !r[1].Connected })
	if !leader.Reports()[0].Connected {
		t.Error("the other session counts as ended too")
	}
	again := call(t, addr, "kea", 3)
	again.welcome()
	again.report(&ingestv1.Report{Instance: "b", LagMs: 6})
	until(t, "an agent that comes back is one agent", func() bool {
		r := leader.Reports()
		return len(r) == 2 && r[1].Connected && r[1].Report.GetLagMs() == 6
	})
}

// aSession is a session that reports, of which nothing else is needed.
func aSession(source string) *localSession {
	return &localSession{session: fsm.Session{Source: source}}
}

func TestReportsAreForgotten(t *testing.T) {
	now := time.Unix(1000, 0)
	r := newReports()
	r.now = func() time.Time { return now }
	stays, goes := aSession("kea"), aSession("kea")
	r.take(stays, &ingestv1.Report{Instance: "stays"})
	r.take(goes, &ingestv1.Report{Instance: "goes"})
	r.end(goes)
	now = now.Add(reportKept)
	if got := r.list(); len(got) != 2 {
		t.Errorf("%v after %v, both are to be kept", got, reportKept)
	}
	now = now.Add(1)
	if got := r.list(); len(got) != 1 || got[0].Report.GetInstance() != "stays" || !got[0].Connected {
		t.Errorf("%v, want the open session's alone", got)
	}
	r.take(goes, &ingestv1.Report{Instance: "goes"})
	if got := r.list(); len(got) != 1 {
		t.Errorf("%v: what was received while the session ended opens it again", got)
	}
}

// TestReportsAreForATerminal: what a peer says is shown on one, and does not control it.
func TestReportsAreForATerminal(t *testing.T) {
	r := newReports()
	r.take(aSession("kea"), &ingestv1.Report{Instance: "a\x1b[2J", Trouble: "no\r\nsuch\u009b file"})
	if got := r.list()[0].Report; got.GetInstance() != "a [2J" || got.GetTrouble() != "no  such  file" {
		t.Errorf("instance %q, trouble %q", got.GetInstance(), got.GetTrouble())
	}
}

// A session that ended after the same agent's next one began does not end that.
func TestOldSessionDoesNotEndTheNew(t *testing.T) {
	r := newReports()
	old, young := aSession("kea"), aSession("kea")
	r.take(old, &ingestv1.Report{Instance: "a"})
	r.take(young, &ingestv1.Report{Instance: "a"})
	r.end(old)
	if got := r.list(); len(got) != 1 || !got[0].Connected {
		t.Errorf("%v, want it connected", got)
	}
	r.end(young)
	if got := r.list(); len(got) != 1 || got[0].Connected {
		t.Errorf("%v, want it gone", got)
	}
}

// TestReportsAreBounded: of too many, an ended session's goes first, and of those the oldest.
func TestReportsAreBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	r := newReports()
	r.now = func() time.Time { now = now.Add(time.Second); return now }
	r.most = 4
	var sessions []*localSession
	for i := range 4 {
		s := aSession(fmt.Sprintf("kea %d", i))
		sessions = append(sessions, s)
		r.take(s, &ingestv1.Report{Instance: "a"})
	}
	r.end(sessions[2])
	r.end(sessions[1])
	left := func() (out string) {
		for _, x := range r.list() {
			out += x.Source[4:]
		}
		return out
	}
	for i, want := range []string{"0234", "0345", "3456"} {
		r.take(aSession(fmt.Sprintf("kea %d", 4+i)), &ingestv1.Report{Instance: "a"})
		if got := left(); got != want {
			t.Errorf("after %d more: %q are left, want %q", i+1, got, want)
		}
	}
}
