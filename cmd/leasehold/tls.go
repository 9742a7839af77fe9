package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leasehold/leasehold/protocol/starttls/authority"
)

// Names of the authority's files, and how long certificates last, in days.
const (
	caName     = "ca"
	caDays     = 3650
	tlsDays    = 398
	certEnding = ".pem"
	keyEnding  = ".key"
)

func tlsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "tls",
		Short: "Make certificates for nodes and requestors",
		Long: "Make an authority, and certificates that it signs, for TLS on the leasequery port (RFC 7653 9.1): both sides show one, and a\n" +
			"requestor is known by the names in it. Whoever has an authority of their own needs none of this: nodes want certificates for\n" +
			"servers, requestors certificates for clients, with their names in the subject alternative name.\n\n" +
			"Files are PEM. Keys are for their owner alone to read, and nothing that is there is written over. Keep the authority's key\n" +
			"away from the nodes: whoever has it can be any requestor.",
	}
	c.AddCommand(tlsCACommand(), tlsIssueCommand(authority.Server), tlsIssueCommand(authority.Requestor))
	return c
}

// tlsOutput is where certificates go and how that is told.
type tlsOutput struct {
	dir  string
	days int
	json bool
}

func (o *tlsOutput) add(c *cobra.Command, days int) {
	fl := c.Flags()
	fl.StringVar(&o.dir, "dir", ".", "folder to write to, and of the authority")
	fl.IntVar(&o.days, "days", days, "how long the certificate lasts")
	fl.BoolVar(&o.json, "json", false, "print the paths as one JSON object")
}

func (o *tlsOutput) valid() (time.Duration, error) {
	if o.days < 1 || o.days > 36500 {
		return 0, fmt.Errorf("--days %d: want 1 to 36500", o.days)
	}
	return time.Duration(o.days) * 24 * time.Hour, nil
}

func tlsCACommand() *cobra.Command {
	var o tlsOutput
	var name string
	c := &cobra.Command{
		Use:   "ca",
		Short: "Make an authority: ca.pem and ca.key, and their folder",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			valid, err := o.valid()
			if err != nil {
				return err
			}
			_, pair, err := authority.New(name, valid)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(o.dir, 0o700); err != nil {
				return fmt.Errorf("make the folder of certificates: %w", err)
			}
			w, err := o.write(caName, pair)
			if err != nil {
				return err
			}
			return o.tell(cmd, w, "ca.pem goes to every node (tls.requestor_ca) and to every requestor (leasehold query --tls-ca).\n"+
				"ca.key stays here, and away from both: `leasehold tls server` and `leasehold tls requestor` sign with it.\n")
		},
	}
	o.add(c, caDays)
	c.Flags().StringVar(&name, "name", "Leasehold authority", "what the authority is called")
	return c
}

func tlsIssueCommand(usage authority.Usage) *cobra.Command {
	var o tlsOutput
	var base string
	c := &cobra.Command{
		Use:   "server NAME...",
		Short: "Make the certificate of a node, by its names and addresses",
		Long: "Make the certificate of a node. NAME is what requestors ask: DNS names and addresses, virtual ones that may move to the\n" +
			"node included, because a requestor compares what it asked with what the certificate says.",
		Example: "  leasehold tls server node1.example.net 2001:db8::1 2001:db8::547 --dir /etc/leasehold/tls --out node1",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := o.issue(usage, base, args)
			if err != nil {
				return err
			}
			return o.tell(cmd, w, whereTo(usage, w, args))
		},
	}
	if usage == authority.Requestor {
		c.Use, c.Short = "requestor NAME...", "Make the certificate of a requestor, by its names"
		c.Long = "Make the certificate of a requestor. NAME is what the requestor policy calls it (requestors[].names): a DNS name, a URI, an\n" +
			"address or a mail address."
		c.Example = "  leasehold tls requestor bng-1.example.net --dir /etc/leasehold/tls"
	}
	o.add(c, tlsDays)
	c.Flags().StringVar(&base, "out", "", "name of the files, without ending (default: the first NAME)")
	return c
}

// issue signs a certificate and writes it.
func (o *tlsOutput) issue(usage authority.Usage, base string, names []string) (written, error) {
	valid, err := o.valid()
	if err != nil {
		return written{}, err
	}
	if base == "" {
		base = fileName(names[0])
	}
	if base != filepath.Base(base) || base == "." || base == ".." || base == caName {
		return written{}, fmt.Errorf("--out %q: want the name of a file without folder, other than %q", base, caName)
	}
	var own authority.Pair
	if own.Certificate, err = os.ReadFile(filepath.Join(o.dir, caName+certEnding)); err == nil {
		own.Key, err = os.ReadFile(filepath.Join(o.dir, caName+keyEnding))
	}
	if err != nil {
		return written{}, fmt.Errorf("read the authority, which `leasehold tls ca` makes: %w", err)
	}
	ca, err := authority.Parse(own)
	if err != nil {
		return written{}, err
	}
	pair, err := ca.Issue(authority.Order{Usage: usage, Names: names, Valid: valid})
	if err != nil {
		return written{}, err
	}
	return o.write(base, pair)
}

// fileName makes a file's name of a name in a certificate.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == ':' || r == '@' || r == '*' {
			return '_'
		}
		return r
	}, name)
}

// whereTo says what the files are for.
func whereTo(usage authority.Usage, w written, names []string) string {
	if usage == authority.Server {
		return fmt.Sprintf("Copy both and ca.pem to the node; in its configuration:\n"+
			"  tls:\n    mode: required        # or optional: requestors known by their source address may speak in clear\n"+
			"    certificate: %s\n    key: %s\n    requestor_ca: ca.pem\n", filepath.Base(w.Certificate), filepath.Base(w.Key))
	}
	return fmt.Sprintf("Copy both and ca.pem to the requestor: leasehold query … --tls --tls-ca ca.pem --tls-cert %s --tls-key %s\n"+
		"and let the nodes know it:\n  requestors:\n    - name: %q\n      names: [%q]\n",
		filepath.Base(w.Certificate), filepath.Base(w.Key), names[0], names[0])
}

// written is where a certificate and its key are; its JSON form is what --json prints.
type written struct {
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

// write writes both files, or neither.
func (o *tlsOutput) write(base string, pair authority.Pair) (w written, err error) {
	w = written{Certificate: filepath.Join(o.dir, base+certEnding), Key: filepath.Join(o.dir, base+keyEnding)}
	if err := writeNew(w.Key, pair.Key, 0o600); err != nil {
		return w, err
	}
	if err := writeNew(w.Certificate, pair.Certificate, 0o644); err != nil {
		_ = os.Remove(w.Key) // made just now: a key without certificate is of no use
		return w, err
	}
	return w, nil
}

// writeNew writes a file that was not there.
func writeNew(path string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("write a certificate: %w", err)
	}
	_, err = f.Write(b)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(path) // half of it, and the error says why
		return fmt.Errorf("write a certificate: %w", err)
	}
	return nil
}

// tell prints what was written and what it is for.
func (o *tlsOutput) tell(cmd *cobra.Command, w written, where string) error {
	if o.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(w)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "wrote %s\nwrote %s\n%s", w.Certificate, w.Key, where)
	return err
}
