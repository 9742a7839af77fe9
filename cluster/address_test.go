package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
)

func TestPlaceIsCarriedInTheAddress(t *testing.T) {
	for _, p := range []place{
		{raft: "[2001:db8::1]:5471", grpc: "node.example:5470", name: "a"},
		{raft: "h:1", grpc: "h:2", name: "a/b"},
		{raft: "h:1", grpc: "h:2"},
	} {
		if got := placeOf(p.address()); got != p {
			t.Errorf("place %+v came back as %+v", p, got)
		}
	}
	for _, a := range []raft.ServerAddress{"", "h:1", "h:1/h:2", "/", "//"} {
		if got := placeOf(a); len(got.raft)+len(got.grpc)+len(got.name) > len(a) {
			t.Errorf("address %q: %+v", a, got)
		}
	}
}
