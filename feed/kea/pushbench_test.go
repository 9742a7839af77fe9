package kea

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkPush is requests a second with one lease each on one connection, as Kea sends them, down to a sink that acknowledges at
// once; plain is net/http alone with the same request and an answer of the same length.
func BenchmarkPush(b *testing.B) {
	body := bulk([]map[string]any{someLease(0, nil)}, nil)
	run := func(b *testing.B, client *http.Client, url string) {
		b.ReportAllocs()
		for b.Loop() {
			response, err := client.Post(url, "application/json", strings.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				b.Fatal(err)
			}
			response.Body.Close()
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	}
	b.Run("leasehold", func(b *testing.B) {
		r := start(b, ServerConfig{now: recordedNow})
		run(b, r.client, r.url)
	})
	b.Run("plain", func(b *testing.B) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			write(w, http.StatusOK, []response{{Text: "Bulk apply of 1 IPv6 leases completed."}})
		}))
		defer s.Close()
		run(b, s.Client(), s.URL)
	})
}
