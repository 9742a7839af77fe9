package upstream

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leasehold/leasehold/protocol/dhcpv6"
)

// run runs a source until the test is over, and returns a context for waits.
func run(t *testing.T, s *Source, m *model) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
	ended := make(chan error, 1)
	running, stop := context.WithCancel(ctx)
	go func() { ended <- s.Run(running, m) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v, want the end of its context", err)
		}
		cancel()
	})
	return ctx
}

// has are the bindings in the model, which hold m.mu.
func (m *model) has(all ...netip.Addr) bool {
	for _, a := range all {
		if _, ok := m.held[placeOf(netip.PrefixFrom(a, 128), false)]; !ok {
			return false
		}
	}
	return len(m.held) == len(all)
}

// ends is how many statements have ended; the caller holds m.mu.
func (m *model) ends() (n int) {
	for _, l := range m.lines {
		if l == "end" {
			n++
		}
	}
	return n
}

func TestStatementsSweepOnlyWhenWhole(t *testing.T) {
	c, d := with(of("c", 0), na, 5000, 9000), with(of("d", 0), nb, 5000, 9000)
	whole := []script{answer(100, c), answer(100, d)}
	for name, tc := range map[string]struct {
		second  []script // what follows the first whole statement; then come whole ones of c alone
		trouble string
	}{
		"a query is refused":            {[]script{answer(400), refuse(dhcpv6.StatusNotConfigured)}, "relay-id 79: "},
		"the first query is refused":    {[]script{refuse(dhcpv6.StatusUnknownQueryType), answer(400)}, "UnknownQueryType"},
		"the server is not allowed":     {[]script{refuse(dhcpv6.StatusNotAllowed), refuse(dhcpv6.StatusNotAllowed)}, "NotAllowed"},
		"an answer breaks off":          {[]script{func(p *peer) { p.clients(400, c) }}, "answer incomplete"},
		"an answer ends with an error":  {[]script{func(p *peer) { _ = p.clients(400, c) && p.done(status(dhcpv6.StatusQueryTerminated)) }}, "QueryTerminated"},
		"an answer never begins":        {[]script{func(*peer) {}}, "answer incomplete"},
		"the second answer breaks off":  {[]script{answer(400), func(p *peer) { p.clients(400, c, c) }}, "answer incomplete"},
		"an answer cannot be read":      {[]script{func(p *peer) { p.reply(dhcpv6.Options{0, 1}) }}, "answer"},
		"the answer of another message": {[]script{func(p *peer) { p.send(dhcpv6.MessageReply) }}, "malformed answer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stage := newStage(t, map[string][]script{"a": whole})
				config := twoRelays
				config.Every = 10 * time.Minute
				s, m := stage.source(config, "a"), newModel(t)
				ctx := run(t, s, m)
				m.until(ctx, "the first statement is whole", func() bool { return m.has(na, nb) && m.ends() == 1 })
				if got := s.Condition().Trouble; got != "" {
					t.Errorf("trouble %q in the beginning", got)
				}
				stage.add("a", tc.second...)
				for stage.left() > 0 { // of the bubble's time
					<-time.After(time.Second)
				}
				synctest.Wait()
				m.mu.Lock()
				if !m.has(na, nb) || m.ends() != 1 {
					t.Errorf("something was removed: %q", m.lines)
				}
				m.mu.Unlock()
				if got := s.Condition().Trouble; !strings.Contains(got, tc.trouble) {
					t.Errorf("trouble %q, want %q in it", got, tc.trouble)
				}
				stage.add("a", answer(2000, with(of("c", 1900), na, 3100, 7100)), answer(2000))
				m.until(ctx, "the second whole statement has ended", func() bool { return m.has(na) && m.ends() == 2 })
				synctest.Wait()
				if got := s.Condition().Trouble; got != "" {
					t.Errorf("trouble %q in the end", got)
				}
			})
		})
	}
}

// A server that cannot be reached is trouble, and nothing is begun for it; the next one is asked, and each in turn.
func TestServersInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := with(of("c", 0), na, 5000, 9000)
		stage := newStage(t, nil)
		stage.scripts = map[string][]script{}
		config := twoRelays
		config.RelayIDs = config.RelayIDs[:1]
		s, m := stage.source(config, "a", "b"), newModel(t)
		ctx := run(t, s, m)
		<-time.After(10 * time.Minute)
		synctest.Wait()
		if got := s.Condition().Trouble; !strings.Contains(got, "no server can be reached") || len(m.lines) > 0 {
			t.Errorf("trouble %q, stated %q", got, m.lines)
		}
		if n := len(stage.dials); n < 20 || n > 60 { // once a minute in the end
			t.Errorf("%d attempts in 10 minutes", n)
		}
		stage.add("b", answer(100, c))
		m.until(ctx, "b has answered", func() bool { return m.has(na) && m.ends() == 1 })
		synctest.Wait()
		if got := s.Condition().Trouble; got != "" {
			t.Errorf("trouble %q", got)
		}
		// b breaks off, time and again: a, which is back, is asked.
		stage.add("b", func(p *peer) { p.clients(500, c) }, func(p *peer) { p.clients(500, c) }, func(p *peer) { p.clients(500, c) })
		stage.add("a", answer(600))
		m.until(ctx, "a has answered", func() bool { return m.has() && m.ends() == 2 })
	})
}

func TestClusterIsNotFedFromItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stage := newStage(t, map[string][]script{"a": {answer(100, with(of("c", 0), na, 5, 9)), answer(100, with(of("c", 0), na, 5, 9))}})
		config := twoRelays
		config.RelayIDs = config.RelayIDs[:1]
		asked := 0
		config.Own = func(context.Context) ([]byte, error) {
			switch asked++; asked {
			case 1:
				return serverID, nil
			case 2:
				return nil, errors.New("no node of the cluster is there")
			}
			return []byte("another"), nil
		}
		s, m := stage.source(config, "a"), newModel(t)
		ctx := run(t, s, m)
		for stage.left() > 0 {
			<-time.After(time.Second)
		}
		synctest.Wait()
		m.mu.Lock()
		if diff := cmp.Diff([]string{"begin", "begin"}, m.lines); diff != "" {
			t.Errorf("stated (-want +got):\n%s", diff)
		}
		m.mu.Unlock()
		if got := s.Condition().Trouble; !strings.Contains(got, "it is the cluster that is fed") {
			t.Errorf("trouble %q", got)
		}
		stage.add("a", answer(100, with(of("c", 0), na, 5000, 9000)))
		m.until(ctx, "another cluster has answered", func() bool { return m.has(na) })
	})
}

// When the cluster has lost the session, everything is stated again, and is the same.
func TestRunBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stage := newStage(t, map[string][]script{"a": {answer(100, with(of("c", 10), na, 5000, 9000)), answer(201, with(of("c", 110), na, 4900, 8900))}})
		config := twoRelays
		config.RelayIDs = config.RelayIDs[:1]
		s, m := stage.source(config, "a"), newModel(t)
		ctx, cancel := context.WithCancel(t.Context())
		go m.until(ctx, "the first statement is whole", func() bool {
			if m.ends() > 0 {
				cancel()
			}
			return m.ends() > 0
		})
		if err := s.Run(ctx, m); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		ctx = run(t, s, m)
		m.until(ctx, "the second statement is whole", func() bool { return m.ends() == 2 })
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.news != 1 || !m.has(na) {
			t.Errorf("%d changes, want 1: %q", m.news, m.lines)
		}
	})
}

func TestErrorOfTheSinkEndsRun(t *testing.T) {
	lost := errors.New("the session is lost")
	c := with(of("c", 0), na, 5000, 9000)
	for name, play := range map[string]script{
		"by bulk": answer(100, c),
		"active":  func(p *peer) { _ = p.reply(base(100), holds(&c)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stage := newStage(t, map[string][]script{"a": {play, answer(101)}})
				config := twoRelays
				config.RelayIDs, config.Active = config.RelayIDs[:1], name == "active"
				s, m := stage.source(config, "a"), newModel(t)
				m.refused = lost
				if err := s.Run(t.Context(), m); err != lost {
					t.Errorf("Run: %v, want the sink's error as it is", err)
				}
			})
		})
	}
}

func TestConfigurationsThatCannotWork(t *testing.T) {
	id := [][]byte{{0, 1}}
	many := make([][]byte, maxSubscriptions+1)
	for i := range many {
		many[i] = []byte{byte(i), 1}
	}
	for name, c := range map[string]Config{
		"no server":                {RelayIDs: id},
		"nothing to ask for":       {Servers: []string{"a"}},
		"a link without addresses": {Servers: []string{"a"}, Links: []Link{{Name: "l"}}},
		"a link without name":      {Servers: []string{"a"}, Links: []Link{{Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8::/64")}}}},
		"many subscriptions":       {Servers: []string{"a"}, RelayIDs: many, Active: true},
		"many queries":             {Servers: []string{"a"}, RelayIDs: make([][]byte, maxQueries+1)},
		"a negative period":        {Servers: []string{"a"}, RelayIDs: id, Every: -1},
	} {
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v, want ErrConfig", name, err)
		}
	}
	c := Config{Servers: []string{"a"}, RelayIDs: many, Active: true, Everything: true}
	if s, err := New(c); err != nil || s.config.Every != DefaultActiveEvery || len(s.queries) != len(many) {
		t.Errorf("many queries and one subscription: %v", err)
	}
	shared := Link{Name: "l", Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParsePrefix("2001:db8:2::/64")}}
	asked := Link{Name: "m", Ask: []netip.Addr{na}}
	s, err := New(Config{Servers: []string{"a"}, Links: []Link{shared, asked}, ClientIDs: id, Addresses: []netip.Addr{nb},
		RemoteIDs: []dhcpv6.RemoteID{{Enterprise: 9, ID: []byte{1}}}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, q := range s.queries {
		if !q.RelayData || !q.BaseTime || len(q.Options) != 1 {
			t.Errorf("%s asks for too little: %+v", q.name, q.Query)
		}
		names = append(names, q.name)
	}
	want := []string{"link l by 2001:db8:1::", "link l by 2001:db8:2::", "link m by 2001:db8:1::a", "remote-id 9:01", "client-id 00:01", "address 2001:db8:1::b"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
	if s.config.Every != DefaultEvery || s.config.linkName(1) != "" {
		t.Errorf("every %v, the name of a link that is not defined %q", s.config.Every, s.config.linkName(1))
	}
}
