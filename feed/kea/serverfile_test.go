package kea

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// script is a way that says what a test wants, once.
type script []chunk

func (s script) read(ctx context.Context, _ <-chan struct{}, out func(context.Context, chunk) error) error {
	for _, c := range s {
		if err := out(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (s script) trouble() string { return "" }

// TestFileOfAServerThatIsBehind: what the file of a Kea that was away has is older than what its partner stated meanwhile; what is
// written into it from now on is not.
func TestFileOfAServerThatIsBehind(t *testing.T) {
	listed := row{prefix: netip.MustParsePrefix("2001:db8::1/128")}
	happened := row{prefix: netip.MustParsePrefix("2001:db8::2/128")}
	said := script{{begin: &beginning{}}, {rows: []row{listed}}, {events: true, rows: []row{happened}}, {end: true}}
	for _, tc := range []struct{ state, want string }{
		{"waiting", "begin ::2/128 end"},
		{"syncing", "begin ::2/128 end"},
		{"ready", "begin ::1/128 ::2/128 end"},
		{"hot-standby", "begin ::1/128 ::2/128 end"},
	} {
		kea := &statusKea{}
		kea.status.Store("-")
		kea.heartbeat.Store(fmt.Sprintf(`{"state":%q}`, tc.state))
		server := httptest.NewServer(kea)
		defer server.Close()
		var got []string
		w := newFileWay(said, newTestControl(t, ControlConfig{URL: server.URL}), subnets{}, nil)
		err := w.read(t.Context(), nil, func(_ context.Context, c chunk) error {
			switch {
			case c.begin != nil:
				got = append(got, "begin")
			case c.end:
				got = append(got, "end")
			}
			for _, r := range c.rows {
				got = append(got, strings.TrimPrefix(r.prefix.String(), "2001:db8"))
			}
			return nil
		})
		if err != nil || strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %q, want %q; error %v", tc.state, got, tc.want, err)
		}
	}
}
