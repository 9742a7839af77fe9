package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cluster/clustertest/hosted"
	"github.com/leasehold/leasehold/cluster/clustertest/netlab"
)

// keaPage is a machine on which somebody has a running Kea and follows docs/kea.md: /etc, /run and /var/lib/kea are its own.
type keaPage struct {
	t      *testing.T
	ctx    context.Context
	host   *netlab.Host
	inside *netlab.Process // holds the machine's file systems
	dir    string
	blocks map[string][]string // of the page, by language, in order
}

const keaPageConf = `{
  "Dhcp6": {
    "interfaces-config": { "interfaces": [ "eth0/%[1]s" ] },
    "lease-database": { "type": "memfile", "lfc-interval": 3600 },
    "subnet6": [ {
      "id": 1, "subnet": "2001:db8:1::/64", "pools": [ { "pool": "2001:db8:1::1000-2001:db8:1::ffff" } ],
      "pd-pools": [ { "prefix": "2001:db8:a000::", "prefix-len": 36, "delegated-len": 56 } ]
    } ]
  }
}
`

// keaPageSystemctl does what systemd would, as far as the page asks it to.
const keaPageSystemctl = `#!/bin/bash
set -eu
run() { # name command...
	name=$1; shift
	if [ -e %[1]s/$name.pid ]; then
		kill $(cat %[1]s/$name.pid) 2>/dev/null || :
		while kill -0 $(cat %[1]s/$name.pid) 2>/dev/null; do sleep 0.05; done
	fi
	"$@" >>%[1]s/$name.log 2>&1 </dev/null &
	echo $! >%[1]s/$name.pid
}
case "$*" in
"restart kea-dhcp6-server") run kea kea-dhcp6 -c /etc/kea/kea-dhcp6.conf ;;
"enable --now leasehold-feed" | "restart leasehold-feed")
	run feed $(sed -n 's|^ExecStart=/usr/bin/||p' %[2]s) ;;
"reload leasehold-feed") MAINPID=$(cat %[1]s/feed.pid) bash -c "$(sed -n 's|^ExecReload=||p' %[2]s)" ;;
*) echo "systemctl $*: not of this machine" >&2; exit 1 ;;
esac
`

func newKeaPage(t *testing.T, ctx context.Context, h *netlab.Host) *keaPage {
	t.Helper()
	if _, err := exec.LookPath("kea-dhcp6"); err != nil {
		t.Skip("needs Kea (Debian package kea-dhcp6-server)")
	}
	text, err := os.ReadFile("../../docs/kea.md")
	if err != nil {
		t.Fatal(err)
	}
	p := &keaPage{t: t, ctx: ctx, host: h, dir: t.TempDir(), blocks: map[string][]string{}}
	for _, m := range regexp.MustCompile("(?ms)^```(json|yaml|sh)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		p.blocks[m[1]] = append(p.blocks[m[1]], m[2])
	}
	if len(p.blocks["json"]) != 3 || len(p.blocks["yaml"]) != 2 || len(p.blocks["sh"]) != 3 {
		t.Fatalf("docs/kea.md has other blocks than this test knows: %v", p.blocks)
	}
	unit, err := filepath.Abs("../../deploy/systemd/leasehold-feed.service")
	if err != nil {
		t.Fatal(err)
	}
	p.write("bin/systemctl", fmt.Sprintf(keaPageSystemctl, p.dir, unit))
	if err := os.Symlink(builtBinary(t), filepath.Join(p.dir, "bin/leasehold")); err != nil {
		t.Fatal(err)
	}
	p.inside = h.Start("unshare", "--mount", "--propagation", "private", "bash", "-euc", fmt.Sprintf(`
mkdir %[1]s/own
mount -t tmpfs none %[1]s/own
for folder in etc var; do
	mkdir %[1]s/own/{$folder,work$folder}
	mount -t overlay overlay -o lowerdir=/$folder,upperdir=%[1]s/own/$folder,workdir=%[1]s/own/work$folder /$folder
done
mount -t tmpfs none /run
mkdir -p /etc/leasehold /etc/kea /run/kea /var/lib/kea
rm -f /var/lib/kea/*
touch %[1]s/made
exec sleep infinity`, p.dir))
	t.Cleanup(p.end)
	until(t, ctx, "the machine's file systems", func() bool {
		if !p.inside.Running() {
			t.Fatalf("the machine's file systems cannot be made: %s", p.inside.Output())
		}
		_, err := os.Stat(filepath.Join(p.dir, "made"))
		return err == nil
	})
	return p
}

// end ends what the page has started.
func (p *keaPage) end() {
	for _, name := range []string{"feed", "kea"} {
		b, err := os.ReadFile(filepath.Join(p.dir, name+".pid"))
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			p.t.Errorf("end %s: %v", name, err)
		}
		log, _ := os.ReadFile(filepath.Join(p.dir, name+".log"))
		if p.t.Failed() {
			p.t.Logf("%s wrote:\n%s", name, log)
		}
	}
}

func (p *keaPage) write(name, content string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		p.t.Fatal(err)
	}
}

// try runs a script on the machine.
func (p *keaPage) try(script string) (string, error) {
	return p.host.TryRun("nsenter", "--target", fmt.Sprint(p.inside.PID()), "--mount", "env", "PATH="+p.dir+"/bin:"+os.Getenv("PATH"),
		"bash", "-euo", "pipefail", "-c", script)
}

func (p *keaPage) run(script string) string {
	p.t.Helper()
	out, err := p.try(script)
	if err != nil {
		p.t.Fatalf("%s\n%v: %s", script, err, out)
	}
	return out
}

// put writes a file of the machine.
func (p *keaPage) put(path, content string) {
	p.t.Helper()
	p.write("content", content)
	p.run("cat " + p.dir + "/content >" + path)
}

// await runs a script until what it writes holds a text.
func (p *keaPage) await(script, text string) {
	p.t.Helper()
	var out string
	defer func() {
		if p.t.Failed() {
			p.t.Logf("%s wrote at last: %s", script, out)
		}
	}()
	until(p.t, p.ctx, script+" shows "+text, func() bool {
		out, _ = p.try(script)
		return strings.Contains(out, text)
	})
}

// TestKeaPage: somebody with a running Kea does what docs/kea.md says, word for word, and has it in the cluster.
func TestKeaPage(t *testing.T) {
	t.Parallel()
	c := newNSCluster(t, 3)
	for _, n := range c.Nodes { // the page's nodes are 192.0.2.1 to 192.0.2.3
		n.GRPC = n.Host.Addr4.String() + ":5470"
		n.Process = n.Host.Start(n.Binary, "server", "--config", n.Config, "--set", "grpc.listen="+n.GRPC)
	}
	c.AwaitReady(t)
	kea, relay := c.Lab.Host("kea"), c.Lab.Host("relay")
	for _, a := range []string{"192.0.2.10/24", "192.0.2.20/24"} {
		kea.Run("ip", "address", "add", a, "dev", netlab.Interface)
	}
	p := newKeaPage(t, deadline(t, 2*time.Minute), kea)
	conf := fmt.Sprintf(keaPageConf, kea.Addr)
	p.put("/etc/kea/kea-dhcp6.conf", conf)
	p.run("systemctl restart kea-dhcp6-server")
	client := &pageClient{t: t, relay: relay, server: kea.AddrPort(547)}
	before := client.lease(1)

	first := func(lines string) { conf = strings.Replace(conf, `"Dhcp6": {`, `"Dhcp6": {`+"\n"+lines, 1) }
	first(p.blocks["json"][0])
	p.put("/etc/kea/kea-dhcp6.conf", conf)
	p.run(p.blocks["sh"][0])
	p.put("/etc/leasehold/feed.yaml", p.blocks["yaml"][0])
	p.run(p.blocks["sh"][1])
	p.await("leasehold bindings --source kea-a --cluster 192.0.2.1:5470", before)
	p.await(p.blocks["sh"][2], before)
	p.await(p.blocks["sh"][2], "kea-a/") // its links
	live := client.lease(2)
	p.await("leasehold bindings --source kea-a --cluster 192.0.2.2:5470", live)
	p.await("leasehold query relay-id "+pageRelayID+" --relay-data --server "+c.Nodes[2].Leasequery, live)

	first(p.blocks["json"][2])
	conf = strings.Replace(conf, "libdhcp_lease_cmds.so\" }", "libdhcp_lease_cmds.so\" },\n"+p.blocks["json"][1], 1)
	p.put("/etc/kea/kea-dhcp6.conf", conf)
	p.run(p.blocks["sh"][0])
	p.put("/etc/leasehold/feed.yaml", p.blocks["yaml"][1])
	p.run(strings.Replace(p.blocks["sh"][1], "enable --now", "restart", 1))
	agent := &hosted.Node{Host: kea, HTTP: "127.0.0.1:5474"}
	until(t, p.ctx, "the agent is ready", func() bool { return agent.Ready(p.ctx) == nil })
	pushed := client.lease(3)
	p.await("leasehold bindings --source kea-a --cluster 192.0.2.3:5470", pushed)
	for _, address := range []string{before, live} {
		p.await("leasehold bindings --source kea-a --cluster 192.0.2.3:5470", address)
	}
	p.add("2001:db8:1::1")
	p.run("systemctl reload leasehold-feed")
	p.await("leasehold bindings --source kea-a --cluster 192.0.2.3:5470", "2001:db8:1::1 ")
}

// add is what an operator does by hand: Kea tells nobody of it.
func (p *keaPage) add(address string) {
	p.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return p.host.Dial(ctx, net.Dialer{}, network, addr)
	}}}
	body := fmt.Sprintf(`{"command": "lease6-add", "arguments": {"ip-address": %q, "duid": "00:03:00:01:0a:00:00:00:00:01", "iaid": 7}}`, address)
	request, err := http.NewRequestWithContext(p.ctx, http.MethodPost, "http://192.0.2.10:8001/", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || !strings.Contains(string(text), `"result": 0`) {
		p.t.Fatalf("lease6-add: %v: %s", err, text)
	}
}
