package kea

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// errTooLong is why an answer is not taken.
var errTooLong = fmt.Errorf("%w: longer than is taken", ErrReply)

// unixCarrier asks over Kea's unix socket: a connection a command, which Kea closes behind its answer.
type unixCarrier struct {
	path    string
	longest int // octets of an answer
}

func (u *unixCarrier) close() {}

func (u *unixCarrier) carry(ctx context.Context, command []byte) (a answer, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", u.path)
	if err != nil {
		return answer{}, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) // its error shows in the read
	defer stop()
	if _, err := conn.Write(command); err != nil {
		return answer{}, ended(ctx, err)
	}
	body, err := readAll(conn, u.longest)
	return answer{body: body}, ended(ctx, err)
}

// ended is the end of ctx where that is why something failed.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// readAll reads an answer of bounded length to its end. Nothing at all is io.ErrUnexpectedEOF.
func readAll(in io.Reader, longest int) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(in, int64(longest)+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > longest:
		return nil, fmt.Errorf("%w: %d octets", errTooLong, longest)
	case len(body) == 0:
		return nil, fmt.Errorf("closed without an answer: %w", io.ErrUnexpectedEOF)
	}
	return body, nil
}
