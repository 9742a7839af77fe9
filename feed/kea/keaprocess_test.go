package kea

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// keaProcess is a real Kea: its own DHCPv6 server, or its control agent, in a folder of its own. It opens no DHCP socket.
type keaProcess struct {
	t      *testing.T
	dir    string
	path   string // of the binary
	socket string // of its commands
	cmd    *exec.Cmd
}

const hookFolder = "/usr/lib/x86_64-linux-gnu/kea/hooks"

// keaBinary is the path of one of Kea's programs.
func keaBinary(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("/usr/sbin", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("needs %s (Debian packages kea-dhcp6-server and kea-ctrl-agent)", path)
	}
	return path
}

// newKea writes a configuration; members change those of "Dhcp6".
func newKea(t *testing.T, members map[string]any) *keaProcess {
	t.Helper()
	path := keaBinary(t, "kea-dhcp6")
	dir, err := os.MkdirTemp("", "kea") // short: a socket's path has at most 107 octets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	k := &keaProcess{t: t, dir: dir, path: path, socket: filepath.Join(dir, "socket")}
	k.configure(members)
	t.Cleanup(k.kill)
	return k
}

func (k *keaProcess) configure(members map[string]any) {
	k.t.Helper()
	dhcp6 := map[string]any{
		"interfaces-config": map[string]any{"interfaces": []string{}},
		"control-socket":    map[string]any{"socket-type": "unix", "socket-name": k.socket},
		"lease-database":    map[string]any{"type": "memfile", "persist": true, "name": filepath.Join(k.dir, "leases.csv"), "lfc-interval": 0},
		"server-id":         map[string]any{"type": "EN", "enterprise-id": 32473, "identifier": "0A0B0C", "persist": false},
		"hooks-libraries":   []any{map[string]any{"library": filepath.Join(hookFolder, "libdhcp_lease_cmds.so")}},
		"subnet6": []any{
			map[string]any{"id": 1, "subnet": "2001:db8:1::/64", "pools": []any{map[string]any{"pool": "2001:db8:1::/80"}}, "relay": map[string]any{"ip-addresses": []string{"2001:db8:ffff::1"}}},
			map[string]any{"id": 2, "subnet": "2001:db8:2::/64"},
		},
		"loggers": []any{map[string]any{"name": "kea-dhcp6", "severity": "INFO", "output_options": []any{map[string]any{"output": filepath.Join(k.dir, "log")}}}},
	}
	maps.Copy(dhcp6, members)
	k.write("kea-dhcp6.conf", map[string]any{"Dhcp6": dhcp6})
}

func (k *keaProcess) write(name string, content any) {
	k.t.Helper()
	text, err := json.Marshal(content)
	if err == nil {
		err = os.WriteFile(filepath.Join(k.dir, name), text, 0o600)
	}
	if err != nil {
		k.t.Fatal(err)
	}
}

// start starts it and waits until it answers. arguments are the program's.
func (k *keaProcess) start() {
	k.t.Helper()
	k.run("-c", filepath.Join(k.dir, "kea-dhcp6.conf"), "-p", "10547")
	k.until("answers commands", func() bool {
		conn, err := net.Dial("unix", k.socket)
		return err == nil && conn.Close() == nil
	})
}

func (k *keaProcess) run(arguments ...string) {
	k.t.Helper()
	out, err := os.OpenFile(filepath.Join(k.dir, "output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		k.t.Fatal(err)
	}
	defer out.Close()
	k.cmd = exec.Command(k.path, arguments...)
	k.cmd.Env = append(os.Environ(), "KEA_PIDFILE_DIR="+k.dir, "KEA_LOCKFILE_DIR="+k.dir)
	k.cmd.Stdout, k.cmd.Stderr = out, out
	if err := k.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
}

// stop ends it, as an operator does.
func (k *keaProcess) stop() {
	k.t.Helper()
	if err := k.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		k.t.Fatal(err)
	}
	k.cmd.Wait()
	k.cmd = nil
}

func (k *keaProcess) kill() {
	if k.cmd != nil {
		k.cmd.Process.Kill()
		k.cmd.Wait()
		k.cmd = nil
	}
	if k.t.Failed() {
		text, _ := os.ReadFile(filepath.Join(k.dir, "output"))
		k.t.Logf("Kea said:\n%.2000s", text)
	}
}

// until waits for a condition.
func (k *keaProcess) until(what string, ok func() bool) { until(k.t, "Kea "+what, ok) }

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // only to end a test that hangs
	defer cancel()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// command sends a command over the socket, without the code under test, and decodes the arguments of its answer.
func (k *keaProcess) command(name string, arguments, into any) error {
	k.t.Helper()
	conn, err := net.Dial("unix", k.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	request := map[string]any{"command": name}
	if arguments != nil {
		request["arguments"] = arguments
	}
	text, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := conn.Write(text); err != nil {
		return err
	}
	text, err = io.ReadAll(conn)
	if err != nil {
		return err
	}
	var answer struct {
		Result    int
		Text      string
		Arguments json.RawMessage
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return err
	}
	if answer.Result != 0 && answer.Result != 3 {
		return errors.New(answer.Text)
	}
	if into == nil || len(answer.Arguments) == 0 {
		return nil
	}
	return json.Unmarshal(answer.Arguments, into)
}

func (k *keaProcess) must(name string, arguments, into any) {
	k.t.Helper()
	if err := k.command(name, arguments, into); err != nil {
		k.t.Fatalf("%s: %v", name, err)
	}
}

// add has Kea take leases, by lease6-bulk-apply.
func (k *keaProcess) add(leases ...map[string]any) {
	k.t.Helper()
	var failed struct {
		Leases []any `json:"failed-leases"`
	}
	k.must("lease6-bulk-apply", map[string]any{"leases": leases}, &failed)
	if len(failed.Leases) > 0 {
		k.t.Fatalf("Kea does not take %v", failed.Leases)
	}
}

// addMany adds n leases from one of a number on.
func (k *keaProcess) addMany(from, n int) {
	k.t.Helper()
	for i := from; i < from+n; {
		var some []map[string]any
		for ; i < from+n && len(some) < 100; i++ {
			some = append(some, madeLease(i))
		}
		k.add(some...)
	}
}

// madeLease is a lease by its number, of several sorts.
func madeLease(i int) map[string]any {
	l := map[string]any{
		"ip-address": fmt.Sprintf("2001:db8:1::%x:%x", i>>16, i&0xffff), "duid": fmt.Sprintf("00:03:00:01:02:00:%02x:%02x:%02x:%02x", i>>24&255, i>>16&255, i>>8&255, i&255),
		"iaid": i, "subnet-id": 1, "type": "IA_NA", "preferred-lft": 3600, "valid-lft": 7200, "expire": time.Now().Unix() + 7200 - int64(i%60),
		"fqdn-fwd": i%2 == 0, "fqdn-rev": i%2 == 0, "hostname": fmt.Sprintf("h%d.example.org.", i),
		"user-context": map[string]any{"ISC": map[string]any{"relays": []any{
			map[string]any{"hop": 1, "link": "2001:db8:ffff::1", "peer": "fe80::1", "options": fmt.Sprintf("0x00120004%08X", i)}, map[string]any{"hop": 0, "link": "::", "peer": "fe80::2"},
		}}},
	}
	switch i % 10 {
	case 1:
		l["type"], l["prefix-len"], l["ip-address"] = "IA_PD", 56, fmt.Sprintf("2001:db8:%x:%x00::", 0xa000+i>>8, i&255)
	case 2:
		l["valid-lft"], l["preferred-lft"], l["expire"] = uint32(1<<32-1), uint32(1<<32-1), time.Now().Unix()+1<<32-1
	case 3:
		delete(l, "user-context")
		l["hostname"] = "caf\u00e9, & <" // three octets that Kea escapes
	case 4:
		l["state"], l["duid"] = 1, "00"
	}
	l["ip-address"] = netip.MustParseAddr(l["ip-address"].(string)).String()
	return l
}

// all is lease6-get-all, by an independent reader: text that is the same for equal leases, by address.
func (k *keaProcess) all() map[string]string {
	k.t.Helper()
	var content struct{ Leases []pageLease }
	k.must("lease6-get-all", nil, &content)
	out := map[string]string{}
	for _, l := range content.Leases {
		out[l.Address] = l.summary()
	}
	return out
}

// summary is what pageLease and row have in common.
func (l *pageLease) summary() string {
	bits, duid, relays := uint32(128), strings.ReplaceAll(l.DUID, ":", ""), ""
	if l.Type == "IA_PD" {
		bits = l.PrefixLen
	}
	if duid == "00" || duid == "000000" {
		duid = ""
	}
	name := l.Hostname
	for _, r := range append(l.Context.ISC.Relays, l.Context.ISC.RelayInfo...) {
		relays += fmt.Sprintf(" %d %s %s %s", r.Hop, r.Link, r.Peer, strings.ToLower(strings.TrimPrefix(r.Options, "0x")))
	}
	if l.State != 0 || l.Valid == 0 {
		name, relays, l.FQDNForward, l.FQDNReverse = "", "", false, false
	}
	octets := []byte{}
	for _, c := range name {
		octets = append(octets, byte(c)) // Kea writes an octet as \u00XX
	}
	return fmt.Sprintf("%s/%d %s %s %d %d %d %d %d %d %v %v %q%s", l.Address, bits, l.Type, duid, l.IAID, l.CLTT, l.Valid, l.Preferred, l.SubnetID, l.State,
		l.FQDNForward, l.FQDNReverse, octets, relays)
}

func summaryOf(r row) string {
	relays := ""
	for _, l := range r.relays {
		relays += fmt.Sprintf(" %d %v %v %x", l.hop, l.link, l.peer, l.options)
	}
	if !r.leased() {
		r.hostname, relays, r.fqdnFwd, r.fqdnRev = nil, "", false, false
	}
	return fmt.Sprintf("%v %v %x %d %d %d %d %s %d %v %v %q%s", r.prefix, r.kind, r.duid, r.iaid, r.transaction(), r.valid, r.preferred, r.subnet, r.state,
		r.fqdnFwd, r.fqdnRev, r.hostname, relays)
}

// asks is a Control of it.
func (k *keaProcess) asks() *Control {
	return newTestControl(k.t, ControlConfig{URL: "unix:" + k.socket})
}

func newTestControl(t testing.TB, config ControlConfig) *Control {
	t.Helper()
	c, err := NewControl(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
