//go:build linux

package feedtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// Kea is an ISC Kea DHCPv6 server on a host. Its process, once started, is embedded: Kill, Stop, Output, …
type Kea struct {
	*netlab.Process
	Host   *netlab.Host
	Leases string // its lease file
	Socket string // of its commands
	Config string // its configuration file

	tb  testing.TB
	dir string
}

// NewKea makes a server on a host, with a configuration that KeaConfig made, and starts nothing. The test is skipped where there is
// no Kea.
func NewKea(tb testing.TB, host *netlab.Host, c KeaConfig) *Kea {
	tb.Helper()
	if _, err := exec.LookPath("kea-dhcp6"); err != nil {
		tb.Skip("needs Kea (Debian package kea-dhcp6-server)")
	}
	dir, err := os.MkdirTemp("", "kea") // short: a socket's path has at most 107 octets
	if err != nil {
		tb.Fatal(err)
	}
	k := &Kea{Host: host, Leases: filepath.Join(dir, "leases.csv"), Socket: filepath.Join(dir, "socket"),
		Config: filepath.Join(dir, "kea-dhcp6.conf"), tb: tb, dir: dir}
	tb.Cleanup(func() {
		if k.Process != nil {
			k.Kill()
		}
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("remove Kea's folder: %v", err)
		}
	})
	k.Configure(c)
	return k
}

// Configure writes the configuration of the next start.
func (k *Kea) Configure(c KeaConfig) {
	k.tb.Helper()
	members := c.members(k.Host)
	maps.Copy(members, map[string]any{
		"control-socket": map[string]any{"socket-type": "unix", "socket-name": k.Socket},
		"lease-database": map[string]any{"type": "memfile", "persist": true, "name": k.Leases, "lfc-interval": c.LFC},
	})
	text, err := json.MarshalIndent(map[string]any{"Dhcp6": members}, "", " ")
	if err == nil {
		err = os.WriteFile(k.Config, text, 0o600)
	}
	if err != nil {
		k.tb.Fatal(err)
	}
}

// Start starts the server and waits until it serves. Kea does not start while its lease files are compacted, nor while a child of
// the process before it, who compacts them, holds the lock of its command socket; then it is started again, as whoever watches over it
// would.
func (k *Kea) Start() {
	k.tb.Helper()
	started := false
	Until(k.tb, "Kea answers", func(context.Context) error {
		if !started || !k.Running() && compacting(k.Output()) {
			cmd := exec.Command("kea-dhcp6", "-c", k.Config)
			cmd.Env = append(os.Environ(), "KEA_PIDFILE_DIR="+k.dir, "KEA_LOCKFILE_DIR="+k.dir)
			k.Process = k.Host.StartCmd(cmd)
			started = true
		}
		if !k.Running() {
			return &neverError{fmt.Errorf("it ended: %w:\n%s", k.Err(), k.Output())}
		}
		return k.Try("status-get", nil, nil)
	})
}

// compacting tells from what a Kea wrote before it ended that its lease files are being compacted.
func compacting(output string) bool {
	return strings.Contains(output, "lease file cleanup is in progress") || strings.Contains(output, "cannot lock socket lockfile")
}

// Try sends a command with its arguments, and decodes those of the answer into into, if there are any. A result other than 0
// (done) and 3 (nothing there) is an error.
func (k *Kea) Try(command string, arguments, into any) error {
	request := map[string]any{"command": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	text, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	conn, err := net.Dial("unix", k.Socket)
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	defer conn.Close()
	if _, err := conn.Write(text); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	if text, err = io.ReadAll(conn); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	var answer struct {
		Result    int
		Text      string
		Arguments json.RawMessage
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("%s: %w: %.200q", command, err, text)
	}
	if answer.Result != 0 && answer.Result != 3 {
		return fmt.Errorf("%s: result %d: %s", command, answer.Result, answer.Text)
	}
	if into == nil || len(answer.Arguments) == 0 {
		return nil
	}
	if err := json.Unmarshal(answer.Arguments, into); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	return nil
}

// Command is Try that fails the test.
func (k *Kea) Command(command string, arguments, into any) {
	k.tb.Helper()
	if err := k.Try(command, arguments, into); err != nil {
		k.tb.Fatal(err)
	}
}
