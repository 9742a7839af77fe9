package main

import (
	"log/slog"
	"testing"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
)

// TestRawFragmentsAreASetting: IPsec policies for UDP do not hold for what leaves by a raw socket, so there is none where that is wanted.
func TestRawFragmentsAreASetting(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	raw := openRaw(config.UDP{RawFragments: true}, log)
	if raw == nil {
		t.Skip("a raw socket needs CAP_NET_RAW")
	}
	if err := raw.Close(); err != nil {
		t.Error(err)
	}
	if raw := openRaw(config.UDP{RawFragments: false}, log); raw != nil {
		t.Error("there is a raw socket", raw.Close())
	}
}
