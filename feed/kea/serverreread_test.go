package kea

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestQuestionOutlivesARun: an address that was to be asked for when a run ended is asked for in the next.
func TestQuestionOutlivesARun(t *testing.T) {
	kea := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, []response{{Result: resultEmpty}})
	}))
	defer kea.Close()
	control := newTestControl(t, ControlConfig{URL: kea.URL})
	r, out := newReread(), make(chan finding)
	run := func(ctx context.Context) { r.run(ctx, control, func(string, ...any) {}, out) }
	q := question{prefix: numbered(1, 0).prefix, due: time.Now().Add(time.Hour)}
	r.add(q)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	run(ended)
	r.waiting[0].due = time.Time{}
	if !r.add(question{prefix: q.prefix}) {
		t.Fatal("no room")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); run(ctx) }()
	if a := <-out; a.prefix != q.prefix || a.lost || a.row != nil {
		t.Errorf("%+v", a)
	}
	cancel()
	<-done
}

// TestOneQuestionInVainIsEnough: a full statement answers all others.
func TestOneQuestionInVainIsEnough(t *testing.T) {
	l := listen(t)
	address := l.Addr().(*net.TCPAddr).String()
	l.Close()
	r, out := newReread(), make(chan finding, 10)
	for i := range 5 {
		r.add(question{prefix: numbered(i+1, 0).prefix})
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx, newTestControl(t, ControlConfig{URL: "http://" + address}), func(string, ...any) {}, out)
	}()
	if a := <-out; !a.lost {
		t.Errorf("%+v", a)
	}
	if !r.add(question{prefix: numbered(9, 0).prefix}) {
		t.Error("no room")
	}
	if a := <-out; a.prefix != numbered(9, 0).prefix {
		t.Errorf("%v is asked for", a.prefix)
	}
	cancel()
	<-done
}
