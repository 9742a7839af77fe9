package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/feed/jsonlines"
)

// exitLines is the exit status when everything was taken but some lines, or a full statement was not completed.
const exitLines = 3

// pushJob feeds JSON lines.
type pushJob struct {
	source  string
	cluster []string
	giveUp  time.Duration
	resync  bool
	links   bool
	ack     bool
	quiet   bool
	in      io.Reader
	out     io.Writer
}

func pushCommand() *cobra.Command {
	var j pushJob
	c := &cobra.Command{
		Use:   "push --source NAME",
		Short: "Feed leases read as JSON lines from standard input",
		Long: "Read changes from standard input, one JSON object a line, and feed them. A lease needs address or prefix, duid, iaid and valid;\n" +
			"docs/ingest.md tells of every member, of ends and of links. Empty lines and lines that begin with # are left out. What was read is\n" +
			"sent within 20 ms.\n\n" +
			"A line that cannot be used is reported on standard error with its number and the member that is wrong, and the others are taken. With\n" +
			"--resync the whole input is everything that the source has, and at its end what was not in it goes, unless a line was refused.\n\n" +
			"Exit status: 0 everything is in the cluster, on a majority of its nodes; 3 everything but the lines that were refused; 1 otherwise.",
		Example: `  echo '{"address":"2001:db8::1","duid":"00:03:00:01:02:00:00:00:00:01","iaid":1,"valid":7200}' | leasehold feed push --source ipam` + "\n" +
			`  echo '{"change":"end","address":"2001:db8::1","reason":"released"}' | leasehold feed push --source ipam` + "\n" +
			`  leasehold bindings --json --cluster OTHER:5470 | leasehold feed push --source copy --resync`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			j.in, j.out = cmd.InOrStdin(), cmd.OutOrStdout()
			return j.run(cmd.Context())
		},
	}
	fl := c.Flags()
	fl.StringVar(&j.source, "source", "", "name of what has the leases")
	fl.StringSliceVar(&j.cluster, "cluster", []string{"127.0.0.1:5470"}, "gRPC addresses of nodes, host:port, tried in turn")
	fl.DurationVar(&j.giveUp, "give-up", 0, "end with an error when nothing was acknowledged for so long; 0 tries for ever")
	fl.BoolVar(&j.resync, "resync", false, "the input is everything that the source has: what is not in it goes")
	fl.BoolVar(&j.links, "links", false, "with --resync: links that are not in the input go, too")
	fl.BoolVar(&j.ack, "ack", false, `print {"acknowledged":LINE} when that line and all before it are in the cluster, and {"refused":LINE,…}`)
	fl.BoolVarP(&j.quiet, "quiet", "q", false, "tell only of trouble")
	_ = c.MarkFlagRequired("source") // the flag was defined above
	return c
}

// ackLine is a line of what --ack prints.
type ackLine struct {
	Acknowledged int    `json:"acknowledged,omitempty"`
	Refused      int    `json:"refused,omitempty"`
	Field        string `json:"field,omitempty"`
	Error        string `json:"error,omitempty"`
}

// run feeds the input to its end.
func (j *pushJob) run(ctx context.Context) error {
	level := slog.LevelInfo
	if j.quiet {
		level = slog.LevelWarn
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	if j.links && !j.resync {
		return fmt.Errorf("--links goes with --resync")
	}
	cfg := jsonlines.Config{Input: j.in, Resync: j.resync, Links: j.links, Logger: log}
	if j.ack {
		enc := json.NewEncoder(j.out)
		tell := func(a ackLine) {
			if err := enc.Encode(a); err != nil {
				log.Error("An acknowledgement could not be printed", "error", err)
			}
		}
		cfg.Acknowledged = func(line int) { tell(ackLine{Acknowledged: line}) }
		cfg.Report = func(e *jsonlines.LineError) {
			tell(ackLine{Refused: e.Line, Field: e.Field, Error: e.Err.Error()})
		}
	}
	source := jsonlines.New(cfg)
	defer source.Close()
	agent, err := runAgent(ctx, feedConfig(j.source, j.cluster, j.giveUp, log, nil), source)
	if err != nil {
		return err
	}
	return j.conclude(source.Totals(), agent.Totals(), log)
}

// conclude tells what came of it.
func (j *pushJob) conclude(read jsonlines.Totals, fed feed.Totals, log *slog.Logger) error {
	log.Info("Everything is in the cluster", "source", j.source, "lines", read.Lines, "refused", read.Refused+fed.Refused,
		"leases", fed.Leases, "ends", fed.Ends, "links", fed.Links, "changed", fed.Counts.Changed, "unchanged", fed.Counts.Unchanged,
		"ignored", fed.Counts.Ignored, "removed", fed.Counts.Swept)
	switch refused := read.Refused + fed.Refused; {
	case read.Incomplete > 0:
		return exitStatus{exitLines, fmt.Sprintf("%d of %d lines refused; the full statement was not completed, and nothing was removed", refused, read.Lines)}
	case refused > 0:
		return exitStatus{exitLines, fmt.Sprintf("%d of %d lines refused", refused, read.Lines)}
	}
	return nil
}
