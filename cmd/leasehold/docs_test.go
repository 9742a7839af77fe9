package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v4"

	"github.com/leasehold/leasehold/cluster/ingest"
	"github.com/leasehold/leasehold/cluster/rpc"
	"github.com/leasehold/leasehold/cmd/leasehold/config"
	"github.com/leasehold/leasehold/cmd/leasehold/laptop"
	"github.com/leasehold/leasehold/feed"
	"github.com/leasehold/leasehold/feed/kea"
	"github.com/leasehold/leasehold/protocol/bulk"
	"github.com/leasehold/leasehold/protocol/leasequery"
	"github.com/leasehold/leasehold/protocol/starttls"
	"github.com/leasehold/leasehold/protocol/udp"
)

// codeBlocks are the fenced blocks of a page below docs that are marked with a language, in order.
func codeBlocks(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	rest := string(text)
	for {
		_, after, found := strings.Cut(rest, "\n```"+language+"\n")
		if !found {
			return out
		}
		block, next, closed := strings.Cut(after, "\n```")
		if !closed {
			t.Fatalf("%s: a block is not closed", page)
		}
		out, rest = append(out, block+"\n"), next
	}
}

// settings are the keys of a piece of configuration, each as --set takes it.
func settings(t *testing.T, text string) []string {
	t.Helper()
	var keys map[string]any
	if err := yaml.Load([]byte(text), &keys); err != nil {
		t.Fatal(err)
	}
	var out []string
	for key, value := range keys {
		b, err := json.Marshal(value) // JSON is YAML
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, key+"="+string(b))
	}
	return out
}

// TestTLSPageWorks follows docs/tls.md to the letter, with a node on loopback in the place of its node: certificates are made, the node
// started with the configuration that is shown, a relay asks by TLS, and a new certificate is taken.
func TestTLSPageWorks(t *testing.T) {
	dir := t.TempDir()
	binary := builtBinary(t)
	var node *laptop.Node
	run := func(script string) {
		t.Helper()
		replaced := []string{"2001:db8::1 ", "::1 "}
		if node != nil {
			replaced = append([]string{"[2001:db8::1]:547", node.LeasequeryTCP, "systemctl reload leasehold", fmt.Sprintf("kill -HUP %d", node.PID)}, replaced...)
		}
		cmd := exec.CommandContext(deadline(t, time.Minute), "bash", "-euc", strings.NewReplacer(replaced...).Replace(script))
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s\n%v\n%s", script, err, out)
		}
	}
	scripts, configuration := codeBlocks(t, "tls.md", "sh"), codeBlocks(t, "tls.md", "yaml")
	if len(scripts) != 3 || len(configuration) != 1 {
		t.Fatalf("docs/tls.md has %d scripts and %d pieces of configuration, want 3 and 1", len(scripts), len(configuration))
	}
	run(scripts[0])
	c := startConfigured(t, laptop.Config{Binary: binary, Dir: dir, Nodes: 1, Set: settings(t, configuration[0])})
	feedDev(t, c.GRPC()...)
	node = c.Nodes[0]
	run(scripts[1])
	run(scripts[2])
	until(t, deadline(t, time.Minute), "the node says that it read its files again", func() bool {
		log, err := node.Log()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(log, "SIGHUP: the files of TLS were read again")
	})
	run(scripts[1])
	if serial := certificateSerial(t, filepath.Join(dir, "tls/node1.pem")); serial == certificateSerial(t, filepath.Join(dir, "tls/old/node1.pem")) {
		t.Errorf("the new certificate has the serial number of the old one: %s", serial)
	}
}

// certificateSerial is the serial number of the certificate in a PEM file.
func certificateSerial(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		t.Fatalf("%s: no PEM", file)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c.SerialNumber.String()
}

// TestPolicyPage: what docs/policy.md shows can be used, and no field of a stanza is left out there.
func TestPolicyPage(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"ca"}, {"server", "node1.example", "--out", "node1"}} {
		if _, said, err := inProcess(t, append(append([]string{"tls"}, args...), "--dir", filepath.Join(dir, "tls"))...); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
	}
	blocks := codeBlocks(t, "policy.md", "yaml")
	if len(blocks) != 1 {
		t.Fatalf("docs/policy.md has %d pieces of configuration, want 1", len(blocks))
	}
	c, warnings, err := config.Parse(filepath.Join(dir, "node1.yaml"), []byte("name: node1\ndata_dir: /var/lib/leasehold\n"+blocks[0]), nil)
	if err != nil || len(warnings) > 0 || len(c.Requestors) < 3 {
		t.Errorf("%d stanzas, %v, warnings %v", len(c.Requestors), err, warnings)
	}
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	typ := reflect.TypeFor[config.Requestor]()
	for i := range typ.NumField() {
		if key := typ.Field(i).Tag.Get("yaml"); !strings.Contains(string(text), "`"+key+"`") {
			t.Errorf("docs/policy.md says nothing of %s", key)
		}
	}
}

// TestReadmeConfiguration: the node that the README begins with has nothing wrong with it.
func TestReadmeConfiguration(t *testing.T) {
	blocks := codeBlocks(t, "../README.md", "yaml")
	if len(blocks) != 1 {
		t.Fatalf("the README has %d pieces of configuration, want 1", len(blocks))
	}
	if _, warnings, err := config.Parse("node1.yaml", []byte(blocks[0]), nil); err != nil || len(warnings) > 0 {
		t.Errorf("%v, warnings %v", err, warnings)
	}
}

// describedMetrics takes down the names of what is registered.
type describedMetrics struct {
	prometheus.Registerer
	names map[string]bool
}

func (d *describedMetrics) Register(c prometheus.Collector) error {
	all := make(chan *prometheus.Desc)
	go func() {
		c.Describe(all)
		close(all)
	}()
	for desc := range all {
		_, name, _ := strings.Cut(desc.String(), `fqName: "`)
		name, _, _ = strings.Cut(name, `"`)
		d.names[name] = true
	}
	return nil
}

func (d *describedMetrics) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		d.Register(c)
	}
}

// TestPagesNameRealMetrics: an alarm on a metric that is not there never goes off.
func TestPagesNameRealMetrics(t *testing.T) {
	d := &describedMetrics{names: map[string]bool{}}
	bulk.NewMetrics(d)
	leasequery.NewMetrics(d)
	udp.NewMetrics(d)
	starttls.NewMetrics(d)
	rpc.NewMetrics(d)
	ingest.NewMetrics(d)
	registerNodeMetrics(d, nil, nil)
	d.names[metricDrain] = true
	agents := &describedMetrics{names: map[string]bool{}}
	feed.NewMetrics(agents)
	kea.NewMetrics(agents)
	maps.Copy(d.names, agents.names)
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 4 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	named := map[string]int{}
	for _, page := range append(pages, "../../README.md", "../../CHANGELOG.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`leasehold_[a-z_]+[a-z]`).FindAllString(string(text), -1) {
			if named[name]++; !d.names[name] {
				t.Errorf("%s names %s, which is no metric", page, name)
			}
		}
	}
	if len(named) < 10 {
		t.Errorf("only %d metrics are named: is the pattern right?", len(named))
	}
	for name := range agents.names {
		if named[name] == 0 {
			t.Errorf("no page tells of an agent's %s", name)
		}
	}
}
