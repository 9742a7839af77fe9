package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// maxReadyLine bounds what a node says of its readiness, in octets.
const maxReadyLine = 64 << 10

// readyFlags holds the flags of the ready command.
type readyFlags struct {
	http    string
	timeout time.Duration
	follow  bool
	silence time.Duration
	repeat  time.Duration
	tell    announcement
}

func readyCommand() *cobra.Command {
	var f readyFlags
	c := &cobra.Command{
		Use:   "ready",
		Short: "Tell whether relays should be sent to this machine's node",
		Long: "Ask the node on this machine whether relays should be sent to it. Exit status: 0 it is ready, 1 it is not, or does not\n" +
			"answer; standard error says why.\n\n" +
			"With --follow it goes on, as the agent that moves virtual addresses and routes: the node pushes each change, and what is\n" +
			"told here follows within milliseconds; a node that is killed is noticed at once, one that hangs after --silence.\n" +
			"--track-file is for keepalived's track_file: 0 for ready, 1 for not, 3 for a node that drains, hangs or is gone. --up and\n" +
			"--down are commands for the shell, run at each change and again every --repeat, such as `birdc enable anycast`. When the\n" +
			"agent is stopped it says that the node is gone.",
		Example: "  leasehold ready --http 127.0.0.1:5473\n" +
			"  leasehold ready --follow --track-file /run/leasehold/not-ready\n" +
			"  leasehold ready --follow --up 'birdc enable leasehold' --down 'birdc disable leasehold'",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fl := c.Flags()
	fl.StringVar(&f.http, "http", "127.0.0.1:5473", "the node's HTTP address, host:port")
	fl.DurationVar(&f.timeout, "timeout", time.Second, "a node that has not answered for this long is not ready")
	fl.BoolVar(&f.follow, "follow", false, "go on, and tell each change")
	fl.DurationVar(&f.silence, "silence", 300*time.Millisecond, "with --follow: a node that is silent for this long is not ready; it speaks every 100ms")
	fl.StringVar(&f.tell.file, "track-file", "", "with --follow: file to write 0 (ready), 1 (not ready) or 3 (gone) to")
	fl.StringVar(&f.tell.up, "up", "", "with --follow: shell command to run when the node is ready")
	fl.StringVar(&f.tell.down, "down", "", "with --follow: shell command to run when it is not")
	fl.DurationVar(&f.repeat, "repeat", 10*time.Second, "with --follow: run --up or --down again this often, in case who was told has restarted; 0 is never")
	return c
}

func (f *readyFlags) run(cmd *cobra.Command) error {
	if !f.follow {
		return checkReady(cmd.Context(), f.http, f.timeout)
	}
	switch {
	case f.tell.file == "" && f.tell.up == "" && f.tell.down == "":
		return errors.New("--follow needs --track-file, or --up and --down")
	case (f.tell.up == "") != (f.tell.down == ""):
		return errors.New("--up and --down go together")
	case f.silence < 2*beat:
		return fmt.Errorf("--silence %v: the node speaks every %v; want at least twice that", f.silence, beat)
	case f.repeat < 0:
		return fmt.Errorf("--repeat %v: want 0 or more", f.repeat)
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
	a := newAnnouncer(f.tell, f.repeat, log)
	told := make(chan struct{})
	go func() {
		defer close(told)
		a.run(cmd.Context())
	}()
	follower := &follower{url: "http://" + f.http + "/readyz/watch", silence: f.silence, tell: a.want}
	follower.run(cmd.Context())
	<-told
	return nil
}

// checkReady asks once. It is an error, with the reasons, that the node is not ready.
func checkReady(ctx context.Context, address string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("--http %q: %w", address, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: the node itself is asked
	r, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, maxReadyLine))
	switch {
	case r.StatusCode == http.StatusOK:
		return nil
	case err != nil:
		return fmt.Errorf("not ready: %w", err)
	case strings.HasPrefix(string(b), "not ready"):
		return errors.New(strings.TrimSpace(string(b)))
	}
	return fmt.Errorf("not ready: %s", r.Status)
}
