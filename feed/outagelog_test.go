package feed

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
)

// journal keeps what is logged, one line each.
type journal struct {
	mu    sync.Mutex
	text  bytes.Buffer
	wrote chan string // each line, if somebody reads them
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case j.wrote <- string(p):
	default:
	}
	return j.text.Write(p)
}

// lines are those that hold a text.
func (j *journal) lines(holding string) (out []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		if strings.Contains(line, holding) {
			out = append(out, strings.TrimSuffix(line, "\n"))
		}
	}
	return out
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// TestLongOutageIsLoggedSeldom: an hour without any node, tried every three seconds, is a line a minute.
func TestLongOutageIsLoggedSeldom(t *testing.T) {
	j, w, o := &journal{}, newWindow(1000), &outage{}
	if err := w.push(t.Context(), &batch{content: changes, body: mem.SliceBuffer(nil), tally: tally{leases: 7}}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for i := range 1200 {
		o.failed(j.logger(), i >= 2, w, errors.New("refused"), start.Add(time.Duration(i)*3*time.Second))
	}
	o.over(j.logger(), "n1:1", w, start.Add(time.Hour))
	o.over(j.logger(), "n1:1", w, start.Add(time.Hour))
	for text, want := range map[string]int{
		`level=INFO msg="A session ended`:                      2,
		`level=WARN msg="No node of the cluster takes`:         1,
		`level=WARN msg="Still no node`:                        59,
		`for=59m6s waiting=7`:                                  1,
		`level=INFO msg="The cluster takes the feed again" no`: 1,
		`after=1h0m0s waiting=7`:                               1,
		``:                                                     63,
	} {
		if got := j.lines(text); len(got) != want {
			t.Errorf("%d lines with %q, want %d", len(got), text, want)
		}
	}
	o.failed(j.logger(), false, w, errors.New("refused"), start.Add(2*time.Hour))
	if got := j.lines("for=0s"); len(got) != 2 {
		t.Errorf("the next outage begins with %q", got)
	}
}

// TestOutageIsLogged: of an outage of all nodes the log has its begin and its end.
func TestOutageIsLogged(t *testing.T) {
	j, c := &journal{wrote: make(chan string, 100)}, &cluster{}
	addresses, stops := make([]string, 3), make([]func(), 3)
	for i := range stops {
		addresses[i], stops[i] = serveAt(t, &node{cluster: c}, "127.0.0.1:0")
	}
	config := testConfig(addresses...)
	config.Logger = j.logger()
	source := newTold(10)
	a := newAgent(t, config, source)
	stop := start(t, a)
	ready(t, a)
	acknowledged(t, source)
	for _, stop := range stops {
		stop()
	}
	ready(t, a, "no session with the cluster")
	source.state <- one(70)
	await(t, "the outage is logged", j.wrote, func(line string) bool { return strings.Contains(line, "No node of the cluster") })
	serveAt(t, &node{cluster: c}, addresses[1])
	acknowledged(t, source)
	stop()
	for text, want := range map[string]int{"No node of the cluster": 1, "Still": 0, "takes the feed again": 1, "level=WARN": 1} {
		if got := j.lines(text); len(got) != want {
			t.Errorf("%d lines with %q, want %d: %q", len(got), text, want, j.lines(""))
		}
	}
	if all, named := j.lines(""), j.lines("source=dev"); len(all) != len(named) {
		t.Errorf("%d of %d lines name the source once: %q", len(named), len(all), all)
	}
}
