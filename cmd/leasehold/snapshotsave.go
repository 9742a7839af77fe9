package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/fsm"
	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

func snapshotSaveCommand() *cobra.Command {
	var call adminCall
	var force, consistent bool
	c := &cobra.Command{
		Use:   "save FILE|-",
		Short: "Save the whole state of the cluster to a file, from one node",
		Long: "Save the whole state of the cluster, bindings, links, sources and settings, to a file, or to standard output. The node that is asked\n" +
			"writes a snapshot to its own disk and sends that. Everything is verified on its way: only a whole file gets its name.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := saver{file: args[0], force: force, consistent: consistent}
			info, err := s.save(cmd, &call)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if s.file == standardStream {
				out = cmd.ErrOrStderr()
			}
			if call.json {
				return printJSON(out, snapshotJSON(s.file, info))
			}
			return printSnapshot(out, "saved", info)
		},
	}
	call.flags(c)
	c.Flags().Lookup("timeout").DefValue = "0s"
	call.timeout = 0
	c.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	c.Flags().BoolVar(&consistent, "consistent", true, "first wait until the node has everything that was acknowledged")
	return c
}

// saver saves a snapshot.
type saver struct {
	file              string
	force, consistent bool
}

func (s *saver) save(cmd *cobra.Command, call *adminCall) (fsm.SnapshotInfo, error) {
	if s.file == standardStream {
		return s.fetch(cmd.Context(), call, cmd.OutOrStdout(), nil)
	}
	if err := s.vacant(); err != nil {
		return fsm.SnapshotInfo{}, err
	}
	temporary, err := os.CreateTemp(filepath.Dir(s.file), "."+filepath.Base(s.file)+".new-*") // 0600: it has every client's lease
	if err != nil {
		return fsm.SnapshotInfo{}, err
	}
	info, err := s.fetch(cmd.Context(), call, temporary, func() error { return empty(temporary) })
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = s.name(temporary.Name())
	}
	if err != nil {
		if rerr := os.Remove(temporary.Name()); !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
		return fsm.SnapshotInfo{}, err
	}
	return info, nil
}

// vacant refuses a name that is taken.
func (s *saver) vacant() error {
	info, err := os.Lstat(s.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is there and is no file", s.file)
	case !s.force:
		return fmt.Errorf("%s is there already: use another name, or --force to replace it", s.file)
	}
	return nil
}

// name gives the temporary file its name, for good.
func (s *saver) name(temporary string) error {
	if err := s.vacant(); err != nil { // somebody may have taken it meanwhile
		return err
	}
	if err := os.Rename(temporary, s.file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(s.file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// empty makes a file as it was when it was made.
func empty(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return errors.Join(err, f.Truncate(0))
}

// fetch streams a snapshot to out and verifies it. again makes out as it was before, when another node is asked; without it another
// is asked only as long as nothing was written.
func (s *saver) fetch(ctx context.Context, call *adminCall, out io.Writer, again func() error) (info fsm.SnapshotInfo, err error) {
	err = call.do(ctx, func(ctx context.Context, admin adminv1.AdminClient) error {
		if again != nil {
			if err := again(); err != nil {
				return err
			}
		}
		stream, err := admin.SaveSnapshot(ctx, &adminv1.SaveSnapshotRequest{Consistent: s.consistent})
		if err != nil {
			return err
		}
		r := &pieceReader{stream: stream}
		info, err = fsm.VerifySnapshot(io.TeeReader(r, out))
		switch {
		case r.err != nil && again == nil && r.begun:
			return fmt.Errorf("broken off: %v", callError{r.err}) // not wrapped: no other node can go on with it
		case r.err != nil:
			return r.err
		}
		return err
	})
	return info, err
}

// pieceReader reads what SaveSnapshot streams.
type pieceReader struct {
	stream interface {
		Recv() (*adminv1.SaveSnapshotResponse, error)
	}
	piece []byte
	begun bool
	err   error // of the call
}

// Read reads on.
func (p *pieceReader) Read(b []byte) (int, error) {
	for len(p.piece) == 0 {
		r, err := p.stream.Recv()
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			p.err = err
			return 0, err
		}
		p.piece, p.begun = r.GetData(), true
	}
	n := copy(b, p.piece)
	p.piece = p.piece[n:]
	return n, nil
}
