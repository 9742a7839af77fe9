package kea

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestPace: Kea is left alone as long as nothing happens, looked at at once when something does, and never often.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p := newPace(defaultPoll)
		defer p.stop()
		for i, tc := range []struct {
			soon, away bool
			after      time.Duration // of the look, since the last
		}{
			{false, false, defaultPoll}, {false, false, defaultPoll}, {true, true, hurriedPoll}, {false, true, hurriedPoll}, {false, false, hurriedPoll},
			{true, false, hurriedPoll}, {false, false, defaultPoll},
		} {
			if tc.soon {
				p.soon()
				p.soon()
			}
			<-p.timer.C
			if took := time.Since(began); took != tc.after {
				t.Errorf("look %d came after %v, want %v", i, took, tc.after)
			}
			p.looked(tc.away)
			began = time.Now()
		}
		<-time.After(hurriedPoll + time.Second)
		p.soon()
		<-p.timer.C
		if took := time.Since(began); took != hurriedPoll+time.Second {
			t.Errorf("not looked at at once, but after %v", took)
		}
	})
}

// TestGlanceLooksAtKea although the next look is due in an hour.
func TestGlanceLooksAtKea(t *testing.T) {
	var looks, pages atomic.Int64
	began := time.Now()
	kea := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q request
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		switch q.Command {
		case "status-get":
			looks.Add(1)
			write(w, http.StatusOK, []response{{Arguments: map[string]any{"pid": 7, "uptime": uptime(began), "reload": uptime(began)}}})
		case "lease6-get-page":
			pages.Add(1)
			write(w, http.StatusOK, []response{{Result: resultEmpty}})
		default:
			write(w, http.StatusOK, []response{{Result: resultUnsupported}})
		}
	}))
	t.Cleanup(kea.Close)
	b, glances := &book{}, make(chan struct{}, 1)
	_, _ = follow(t, walkConfig{control: newTestControl(t, ControlConfig{URL: kea.URL}), poll: time.Hour, glances: glances}, b)
	b.complete(t, 1)
	before := looks.Load()
	glances <- struct{}{}
	until(t, "a look", func() bool { return looks.Load() == before+1 })
	if pages.Load() != 1 {
		t.Errorf("%d pages", pages.Load())
	}
}

// TestConnectionsOfKeaTell when it may have begun and ended; those that never sent a command do not.
func TestConnectionsOfKeaTell(t *testing.T) {
	l := listen(t)
	s, err := NewServer(ServerConfig{Push: l})
	if err != nil {
		t.Fatal(err)
	}
	w := newWayRun(false, false)
	s.ways = []*wayRun{w}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	told := func(what string) {
		t.Helper()
		select {
		case <-w.glances:
		case <-ctx.Done():
			t.Fatalf("not told of %s", what)
		}
	}
	url := "http://" + l.Addr().String() + "/"
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range 2 {
		if reply, err := post(ctx, client, url, `{"command":"build-report"}`, nil); err != nil || reply.result != 0 {
			t.Fatal(reply, err)
		}
	}
	told("the first command")
	if response, err := http.Get(url); err == nil { // which closes its connection
		response.Body.Close()
	}
	if len(w.glances) != 0 {
		t.Error("told too often")
	}
	client.CloseIdleConnections()
	told("the end of the connection")
}
