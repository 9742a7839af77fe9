package admin

import (
	"errors"
	"io"

	"google.golang.org/grpc"

	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// snapshotPiece is how many octets of a snapshot a message has.
const snapshotPiece = 256 << 10

// SaveSnapshot streams a snapshot of this node's state. Memory holds one piece of it, and what the connection takes beyond it.
func (s *Service) SaveSnapshot(r *adminv1.SaveSnapshotRequest, stream grpc.ServerStreamingServer[adminv1.SaveSnapshotResponse]) error {
	from, err := s.node.Snapshot(stream.Context(), r.GetConsistent())
	if err != nil {
		return err
	}
	var p progress
	sent := make(chan error, 1)
	go func() { // a stalled send ends only with the call, so it waits for no one
		err := sendPieces(&p, stream, from)
		sent <- errors.Join(err, from.Close())
	}()
	return s.watch(&p, sent)
}

func sendPieces(p *progress, stream grpc.ServerStreamingServer[adminv1.SaveSnapshotResponse], from io.Reader) error {
	for {
		piece := make([]byte, snapshotPiece) // gRPC may still read the one before
		n, err := io.ReadFull(from, piece)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return err
		}
		if n > 0 {
			if err := send(p, stream, &adminv1.SaveSnapshotResponse{Data: piece[:n]}); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}
