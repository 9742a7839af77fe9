package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/fsm/binding"
	"github.com/leasehold/leasehold/protocol/requestor"
)

// watchFlags holds the flags of the watch command.
type watchFlags struct {
	queryFlags
	since    string
	full     bool
	recover  []string
	silence  time.Duration
	bindings int
}

func watchCommand() *cobra.Command {
	var f watchFlags
	c := &cobra.Command{
		Use:   "watch [address|client-id|relay-id|link-address|remote-id VALUE]",
		Short: "Follow the leases as they change (RFC 7653)",
		Long: "Subscribe by active leasequery over TCP, to what a query of the type and value would answer, or to everything, and print each\n" +
			"change as it comes: a client with its bindings; those that have ended have lifetimes of 0. When the server ends the\n" +
			"subscription, the connection fails or no message comes for --silence, the next server is asked, from the newest base time\n" +
			"on: what changed in that second is printed again, and nothing is left out. All servers must be of one cluster. Standard\n" +
			"error tells which server is followed, and why another is. The base time to go on from is told there at the end: give it to\n" +
			"--since next time.\n\n" +
			"If a server does not know all that has changed since then, that is printed (data-missing), a bulk query on a second\n" +
			"connection brings what there is now while changes go on to be printed, and what is there no more is printed as ended. Behind\n" +
			"it comes catch-up-complete. Only what this run has printed can be printed as ended: whoever keeps a table over several runs\n" +
			"drops then what this run has not named. No bulk query brings everything, so a subscription without a type says by\n" +
			"--recover which queries together do; without it only what this run has printed is looked up again, and\n" +
			"catch-up-complete says partial.\n\n" +
			"With --json: one object a line, {\"event\":\"change\"|\"catch-up-complete\"|\"data-missing\"|\"idle\"|\"terminated\",\"base_time\":…},\n" +
			"and for a change the fields of query --json. base_time is in seconds since 2000-01-01T00:00:00Z.\n\n" +
			"Exit status: 0 ended by SIGINT or SIGTERM, 4 every server answered with an error status, 1 anything else.",
		Example: "  leasehold watch --server [2001:db8::1]:547,[2001:db8::2]:547 --json\n" +
			"  leasehold watch relay-id 000200007ed9626e672d612d3031 --relay-data --full --server [::1]:547\n" +
			"  leasehold watch link-address 2001:db8:1000::1 --since 849123456 --server [::1]:547\n" +
			"  leasehold watch --recover link-address=2001:db8:1::1 --recover link-address=2001:db8:2::1 --server [::1]:547",
		Args:      watchArguments,
		ValidArgs: []string{"address", "client-id", "relay-id", "link-address", "remote-id"},
		RunE:      func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	fl := c.Flags()
	fl.StringSliceVar(&f.servers, "server", []string{"[::1]:547"}, "servers of one cluster, host:port, tried in turn")
	fl.StringVar(&f.link, "link", "", "only clients on the link of this address")
	fl.StringVar(&f.since, "since", "now", "base time to go on from, or now")
	fl.BoolVar(&f.full, "full", false, "first print all that there is, by bulk query")
	fl.StringArrayVar(&f.recover, "recover", nil, "TYPE=VALUE: a bulk query for missing data, where no type is given; may be repeated")
	fl.BoolVar(&f.relayData, "relay-data", false, "ask for the relay chain that each client came through")
	fl.BoolVar(&f.json, "json", false, "print one JSON object a line for each event")
	fl.StringVar(&f.requestorID, "requestor-id", "", "the DUID to ask as, in hex (default: made up for this run)")
	fl.UintSliceVar(&f.options, "option", nil, "codes of client options to ask for, such as 39 for the host name")
	fl.DurationVar(&f.silence, "silence", requestor.DefaultSilence, "ACTIVE_LQ_RCV_TIMEOUT: how long a server may say nothing")
	fl.IntVar(&f.bindings, "max-bindings", requestor.DefaultMaxBindings, "how many bindings to remember at most; more end the command")
	f.tls.add(c)
	return c
}

// watchArguments wants nothing, or a type and a value.
func watchArguments(_ *cobra.Command, args []string) error {
	if len(args) == 0 || len(args) == 2 {
		return nil
	}
	return fmt.Errorf("%d arguments: want none, or a type and a value", len(args))
}

func (f *watchFlags) run(cmd *cobra.Command, args []string) error {
	q, err := f.active(args)
	if err != nil {
		return err
	}
	id, err := f.duid()
	if err != nil {
		return err
	}
	if f.silence <= 0 || f.bindings <= 0 {
		return fmt.Errorf("--silence %v, --max-bindings %d: want more than 0", f.silence, f.bindings)
	}
	secure, err := f.tls.client()
	if err != nil {
		return err
	}
	q.Table = requestor.NewReplica(f.bindings)
	told := cmd.ErrOrStderr()
	p := eventPrinter{w: bufio.NewWriterSize(cmd.OutOrStdout(), 1<<16), told: told, json: f.json}
	cfg := requestor.Config{ClientID: id, Silence: f.silence, TLS: secure}
	cfg.Report = func(a requestor.Attempt) { fmt.Fprintf(told, "leasehold: %s: %v\n", a.Server, a.Err) }
	err = requestor.Watch(cmd.Context(), f.servers, cfg, q, p.print)
	if p.resumable {
		fmt.Fprintf(told, "leasehold: base time %d: go on with --since %d\n", p.resume, p.resume)
	}
	var attempts *requestor.AttemptsError
	switch {
	case cmd.Context().Err() != nil && errors.Is(err, context.Canceled):
		return nil
	case errors.As(err, &attempts): // each was reported when it failed
		return exitStatus{exitRefused, "every server answered with an error status"}
	}
	return err
}

// active makes the subscription that the arguments mean.
func (f *watchFlags) active(args []string) (q requestor.ActiveQuery, err error) {
	if len(args) == 2 {
		q.Query, err = f.query(args[0], args[1])
	} else if f.link != "" {
		err = errors.New("--link goes with a type; the type link-address has it alone")
	} else {
		q.Query, err = f.everything()
	}
	if err != nil {
		return q, err
	}
	if f.since != "now" {
		since, err := strconv.ParseUint(f.since, 10, 32)
		if err != nil {
			return q, fmt.Errorf("--since %q: want a base time in seconds, or now", f.since)
		}
		start := uint32(since)
		q.StartTime = &start
	}
	if q.Full = f.full; q.Full && q.StartTime != nil {
		return q, errors.New("--full goes with --since now only")
	}
	if err := f.recoverable(len(args) == 2); err != nil {
		return q, err
	}
	for _, r := range f.recover {
		kind, value, ok := strings.Cut(r, "=")
		if !ok {
			return q, fmt.Errorf("--recover %q: want TYPE=VALUE", r)
		}
		one := queryFlags{relayData: f.relayData, options: f.options}
		bulk, err := one.query(kind, value)
		if err != nil {
			return q, fmt.Errorf("--recover %q: %w", r, err)
		}
		q.Recover = append(q.Recover, bulk)
	}
	return q, nil
}

// recoverable tells why --full and --recover do not go with a type, or without one, or nil.
func (f *watchFlags) recoverable(typed bool) error {
	switch {
	case typed && len(f.recover) > 0:
		return errors.New("--recover goes without a type: with one, the same query by bulk brings what is missing")
	case !typed && f.full && len(f.recover) == 0:
		return errors.New("--full without a type wants --recover: no one bulk query brings everything")
	}
	return nil
}

// eventPrinter prints events as they come.
type eventPrinter struct {
	w         *bufio.Writer
	told      io.Writer
	json      bool
	line      []byte
	resumable bool
	resume    uint32
}

func (p *eventPrinter) print(e *requestor.Event) error {
	if e.Kind == requestor.EventSubscribed {
		fmt.Fprintf(p.told, "leasehold: following %s\n", e.Server)
	} else if err := p.write(e); err != nil {
		return err
	}
	p.resumable, p.resume = e.HasResume, e.Resume
	return nil
}

func (p *eventPrinter) write(e *requestor.Event) error {
	p.line = p.line[:0]
	if p.json {
		var err error
		if p.line, err = e.AppendJSON(p.line); err != nil {
			return err
		}
		p.line = append(p.line, '\n')
	} else {
		p.line = appendEvent(p.line, e)
	}
	if _, err := p.w.Write(p.line); err != nil {
		return err
	}
	return p.w.Flush()
}

// appendEvent writes an event for people.
func appendEvent(b []byte, e *requestor.Event) []byte {
	if e.HasBaseTime {
		b = fmt.Appendf(b, "%d  ", e.BaseTime)
	}
	switch {
	case e.Client == nil && e.Partial:
		return fmt.Appendf(b, "%v, but for clients that nobody knew of\n", e.Kind)
	case e.Client == nil && e.Err != nil:
		return fmt.Appendf(b, "%v: %v\n", e.Kind, e.Err)
	case e.Client == nil:
		return fmt.Appendf(b, "%v\n", e.Kind)
	}
	c := e.Client
	b = fmt.Appendf(b, "client %s  last heard of %v ago\n", binding.FormatDUID(c.DUID), time.Duration(c.LastTransaction)*time.Second)
	for _, a := range c.Addresses {
		b = appendLifetimes(fmt.Appendf(b, "  address %-39v  ", a.Address), a.Preferred, a.Valid)
	}
	for _, d := range c.Prefixes {
		b = appendLifetimes(fmt.Appendf(b, "  prefix  %-39v  ", d.Prefix), d.Preferred, d.Valid)
	}
	return appendDetails(b, c)
}

func appendLifetimes(b []byte, preferred, valid uint32) []byte {
	if valid == 0 {
		return append(b, "ended\n"...)
	}
	return fmt.Appendf(b, "preferred %s  valid %s\n", seconds(preferred), seconds(valid))
}
