package feed

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// request is a FeedRequest that is encoded already: a batch's header and its body, which is not copied.
type request struct {
	header []byte
	body   mem.Buffer
}

// codec is gRPC's protobuf codec, except that a *request goes out as it is.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Marshal gives gRPC a reference of its own to a request's body, which it frees when the octets are on their way.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	r, ok := v.(*request)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	r.body.Ref()
	return mem.BufferSlice{mem.SliceBuffer(r.header), r.body}, nil
}
