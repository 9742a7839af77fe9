package kea

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// partnered is a Kea with two leases. The second is renewed by its HA partner as soon as the first list of them was made.
type partnered struct {
	state string
	began int64
	mu    sync.Mutex
	lists int
}

func (k *partnered) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	switch {
	case strings.Contains(string(body), "status-get"):
		up := uptime(time.Unix(k.began, 0))
		fmt.Fprintf(w, `[{"result":0,"arguments":{"pid":1,"uptime":%d,"reload":%d,"high-availability":[{"ha-servers":{"local":{"state":%q},"remote":{}}}]}}]`, up, up, k.state)
	case strings.Contains(string(body), "lease6-get-page"):
		k.mu.Lock()
		k.lists++
		cltt := [2]int64{k.began - 1000, k.began - 1000}
		if k.lists > 1 {
			cltt[1] = k.began
		}
		k.mu.Unlock()
		var leases []string
		for i, at := range cltt {
			leases = append(leases, fmt.Sprintf(`{"ip-address":"2001:db8::%d","type":"IA_NA","duid":"00:03:00:01:02:00:00:00:00:0%d","iaid":1,"cltt":%d,"valid-lft":7200,"preferred-lft":3600,"state":0,"subnet-id":1}`, i+1, i+1, at))
		}
		fmt.Fprintf(w, `[{"result":0,"arguments":{"count":2,"leases":[%s]}}]`, strings.Join(leases, ","))
	default:
		io.WriteString(w, `[{"result":2,"text":"not supported"}]`)
	}
}

// TestPairedKeaIsReadAgain: what its partner gave while the list was made is stated by the partner's agent, and then by the list as it
// was before. It is stated once more, as it is now; what is old is not. A Kea without a partner is read once.
func TestPairedKeaIsReadAgain(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ state, want string }{
		{"hot-standby", "begin 1-1000 2-1000 end 2+0"},
		{"terminated", "begin 1-1000 2-1000 2+0"},
		{"passive-backup", "begin 1-1000 2-1000 end"},
	} {
		t.Run(tc.state, func(t *testing.T) {
			t.Parallel()
			kea := &partnered{state: tc.state, began: time.Now().Unix()}
			server := httptest.NewServer(kea)
			defer server.Close()
			w := newWalk(walkConfig{control: newTestControl(t, ControlConfig{URL: server.URL}), once: true})
			var got []string
			err := w.read(t.Context(), nil, func(_ context.Context, c chunk) error {
				switch {
				case c.begin != nil:
					got = append(got, "begin")
				case c.end:
					got = append(got, "end")
				}
				for _, r := range c.rows {
					a := r.prefix.Addr().As16()
					got = append(got, fmt.Sprintf("%d%+d", a[15], r.transaction()-kea.began))
				}
				return nil
			})
			if err != nil || strings.Join(got, " ") != tc.want {
				t.Errorf("%q, want %q; error %v", got, tc.want, err)
			}
		})
	}
}
