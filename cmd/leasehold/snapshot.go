package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/cluster"
	"github.com/leasehold/leasehold/fsm"
	"github.com/leasehold/leasehold/fsm/binding"
)

// standardStream is what stands for standard input or output in place of a file's name.
const standardStream = "-"

func snapshotCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "snapshot",
		Short: "Save the whole state to a file, and begin anew from it",
	}
	c.AddCommand(snapshotSaveCommand(), snapshotInspectCommand(), snapshotRestoreCommand())
	return c
}

func snapshotInspectCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "inspect FILE|-",
		Short: "Verify every checksum of a saved snapshot and show what it is of",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := openInput(cmd, args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			info, err := fsm.VerifySnapshot(bufio.NewReaderSize(in, 1<<16))
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), snapshotJSON(args[0], info))
			}
			return printSnapshot(cmd.OutOrStdout(), "whole", info)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func snapshotRestoreCommand() *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "restore FILE|- --config FILE",
		Short: "Found a new cluster of one node from a saved snapshot",
		Long: "Found a new cluster from a saved snapshot, on one node, with an empty data directory. The others then join it, with empty data\n" +
			"directories too. It is for a cluster that is lost as a whole: while a survivor has its disk, `leasehold recover` loses less.\n\n" +
			"Stop every node of the old cluster first. The new one has an id of its own, the server DUID of the old one, and its settings.\n" +
			"Feeders notice, and feed everything again; subscribers of active leasequery are told that they missed something, and read\n" +
			"everything again. For that the clock of this machine must be right.\n\n" +
			"The file is verified before anything is written, and nothing is left behind after an error.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cfg, log, err := stoppedNode(cmd, file)
			if err != nil {
				return err
			}
			if cfg.Cluster.NonVoter {
				return fmt.Errorf("%s says cluster.non_voter: true, but the node that a cluster begins with has a vote: set it to false first", file)
			}
			in, err := openInput(cmd, args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			r := cluster.Restoration{DataDir: cfg.DataDir, Name: cfg.Name, RaftAddress: orElse(cfg.Raft.Advertise, cfg.Raft.Listen),
				GRPCAddress: orElse(cfg.GRPC.Advertise, cfg.GRPC.Listen)}
			done, err := cluster.Restore(cmd.Context(), r, bufio.NewReaderSize(in, 1<<16), log)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if err := giveBack(cfg.DataDir); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), restoredJSON(done))
			}
			return printRestored(cmd.OutOrStdout(), done)
		},
	}
	c.Flags().StringVar(&file, "config", "", "the node's configuration file")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = c.MarkFlagRequired("config") // the flag was defined above
	return c
}

// openInput opens a file, or standard input.
func openInput(cmd *cobra.Command, name string) (io.ReadCloser, error) {
	if name == standardStream {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil {
		return nil, errors.Join(err, f.Close())
	} else if info.IsDir() {
		return nil, errors.Join(fmt.Errorf("%s is a directory", name), f.Close())
	}
	return f, nil
}

// snapshotObject is what `snapshot save --json` and `snapshot inspect --json` print.
type snapshotObject struct {
	File      string `json:"file"`
	ClusterID string `json:"cluster_id"`
	Level     uint32 `json:"format_level"`
	Index     uint64 `json:"index"`
	Term      uint64 `json:"term"`
	ClockMS   int64  `json:"clock_ms"`
	Size      uint64 `json:"size"`
}

func snapshotJSON(file string, i fsm.SnapshotInfo) snapshotObject {
	return snapshotObject{File: file, ClusterID: i.ClusterID, Level: i.Level, Index: i.Index, Term: i.Term, ClockMS: int64(i.Clock), Size: i.Size}
}

func printSnapshot(w io.Writer, what string, i fsm.SnapshotInfo) error {
	_, err := fmt.Fprintf(w, "%s: cluster %s, entry %d of term %d, of %s, format level %d, %d octets\n", what, orElse(i.ClusterID, "none"), i.Index, i.Term,
		moment(i.Clock), i.Level, i.Size)
	return err
}

// restoredObject is what `snapshot restore --json` prints.
type restoredObject struct {
	NodeID         string         `json:"node_id"`
	ClusterID      string         `json:"cluster_id"`
	SavedCluster   string         `json:"saved_cluster_id"`
	Index          uint64         `json:"index"`
	Level          uint32         `json:"format_level"`
	SavedMS        int64          `json:"saved_ms"`
	HistorySinceMS int64          `json:"history_since_ms"`
	Bindings       uint64         `json:"bindings"`
	Members        []memberObject `json:"members"`
}

func restoredJSON(r cluster.Restored) restoredObject {
	return restoredObject{NodeID: r.NodeID, ClusterID: r.ClusterID, SavedCluster: r.SavedCluster, Index: r.Index, Level: r.Level, SavedMS: int64(r.Saved),
		HistorySinceMS: int64(r.HistorySince), Bindings: r.Bindings, Members: offlineObjects(r.Members)}
}

func printRestored(w io.Writer, r cluster.Restored) error {
	fmt.Fprintf(w, "restored %d bindings of cluster %s, entry %d, of %s\n", r.Bindings, r.SavedCluster, r.Index, moment(r.Saved))
	fmt.Fprintf(w, "node %s founds cluster %s; its history begins at %s\n", r.NodeID, r.ClusterID, moment(r.HistorySince))
	fmt.Fprintln(w, "start this node, then the others, each with an empty data directory. The cluster from now on:")
	fmt.Fprintln(w)
	return printMembership(w, r.Members)
}

// moment writes a time for people.
func moment(t binding.Time) string { return time.UnixMilli(int64(t)).UTC().Format(time.RFC3339) }
