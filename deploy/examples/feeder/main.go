// Command feeder is the smallest feeder in Go: it states everything that a DHCP server has, follows what it does, and goes on across
// failures of nodes, of leaders and of itself. docs/ingest.md shows it.
package main

import (
	"context"
	"log"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/leasehold/leasehold/feed"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// server is a DHCP server of one lease.
type server struct{}

// Run is called when the feeder starts, and anew when the cluster has lost the session.
func (server) Run(ctx context.Context, sink feed.Sink) error {
	if err := sink.BeginResync(ctx, false); err != nil { // true: links are stated, too
		return err
	}
	granted := time.Now().Add(-10 * time.Minute) // when the client last spoke to the server
	lease := &ingestv1.Lease{
		Kind:    ingestv1.Kind_KIND_NA,
		Address: netip.MustParseAddr("2001:db8:1000::1").AsSlice(),
		Duid:    []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 1}, Iaid: 1,
		Preferred: 3600, Valid: 7200,
		AgeMs: sink.Now().Sub(granted).Milliseconds(),
		Stamp: uint32(granted.Unix()),
		Relays: []*ingestv1.RelayLevel{{ // the relay nearest the server first
			LinkAddress: netip.MustParseAddr("2001:db8:1000::ff").AsSlice(),
			PeerAddress: netip.MustParseAddr("fe80::1").AsSlice(),
			Options:     []byte{0, 18, 0, 4, 'e', 't', 'h', '7'}, // code, length, value: OPTION_INTERFACE_ID
		}},
	}
	if err := sink.Change(ctx, &ingestv1.Change{Change: &ingestv1.Change_Upsert{Upsert: lease}}); err != nil {
		return err
	}
	if err := sink.EndResync(ctx); err != nil { // what this source had and did not state goes now
		return err
	}
	stored, err := sink.Receipt(ctx)
	if err != nil {
		return err
	}
	select {
	case <-stored: // a majority of the nodes has it on disk
		log.Print("the lease is in the cluster")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil // a server that goes on would state changes here, and Flush, until ctx ends
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	agent, err := feed.New(feed.Config{
		Source:      "example",
		Cluster:     strings.Split(os.Args[1], ","), // nodes, host:port, tried in turn
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
	}, server{})
	if err == nil {
		err = agent.Run(ctx)
	}
	if err != nil {
		log.Fatal(err)
	}
}
