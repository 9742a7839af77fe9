package feed_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that passes answers on
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/feed/synthetic"
	ingestv1 "github.com/leasehold/leasehold/proto/ingest/v1"
)

// blind is a codec that reads of a request only how long it is, so that a benchmark measures the feeder and not the decoder of
// the other side.
type blind struct{ encoding.CodecV2 }

func (b blind) Unmarshal(data mem.BufferSlice, v any) error {
	request, ok := v.(*ingestv1.FeedRequest)
	if !ok {
		return errors.New("not a request")
	}
	reader := data.Reader()
	defer reader.Close()
	first, err := reader.ReadByte()
	if err != nil {
		return err
	}
	if number, _ := protowire.DecodeTag(uint64(first)); number == 1 {
		return b.CodecV2.Unmarshal(data, v)
	}
	request.Request = &ingestv1.FeedRequest_Batch{Batch: &ingestv1.Batch{}}
	return nil
}

// counter acknowledges every batch by counting.
type counter struct {
	ingestv1.UnimplementedIngestServer
}

func (counter) Feed(stream ingestv1.Ingest_FeedServer) error {
	sequence := uint64(0)
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer := &ingestv1.FeedResponse{Response: &ingestv1.FeedResponse_Welcome{Welcome: &ingestv1.Welcome{MaxBytesInFlight: 4 << 20}}}
		if request.GetHello() == nil {
			sequence++
			answer = &ingestv1.FeedResponse{Response: &ingestv1.FeedResponse_Ack{Ack: &ingestv1.Ack{Sequence: sequence, Index: sequence}}}
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

// BenchmarkAgent feeds 200,000 made-up leases over loopback to a node that only acknowledges.
func BenchmarkAgent(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(blind{encoding.GetCodecV2("proto")}))
	ingestv1.RegisterIngestServer(server, counter{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	defer func() { server.Stop(); <-done }()
	const leases = 200_000
	source, err := synthetic.New(synthetic.Config{Leases: leases})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		agent, err := feed.New(feed.Config{Source: "bench", Cluster: []string{listener.Addr().String()},
			DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}}, source)
		if err != nil {
			b.Fatal(err)
		}
		if err := agent.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
		if got := agent.Totals().Leases; got != leases {
			b.Fatalf("%d leases acknowledged", got)
		}
	}
	b.ReportMetric(float64(leases*b.N)/b.Elapsed().Seconds(), "leases/s")
}
