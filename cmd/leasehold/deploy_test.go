package main

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// needs skips the test where a program is absent.
func needs(t testing.TB, program, debian string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("this test needs %s (Debian package %s)", program, debian)
	}
	return path
}

// deployWith runs leasehold deploy with the arguments and returns the folder that it wrote.
func deployWith(t testing.TB, dir string, args ...string) string {
	t.Helper()
	root := newRoot("test")
	root.SetArgs(append(append([]string{"deploy"}, args...), "--out", dir))
	root.SetOut(io.Discard)
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// examples are the deployments that deploy/ shows, as the commands that make them.
var examples = map[string][]string{
	"keepalived": {"keepalived", "--node", "node1=2001:db8:547::1", "--node", "node2=2001:db8:547::2", "--node", "node3=2001:db8:547::3",
		"--address", "2001:db8:547::547/64"},
	"bird": {"bird", "--node", "node1=2001:db8:547::1", "--node", "node2=2001:db8:547::2", "--node", "node3=2001:db8:547::3",
		"--address", "2001:db8::547", "--peer", "2001:db8:547::fe=64500"},
}

// TestExamplesAreWhatIsWritten: deploy/*/example is what the command writes. UPDATE=1 writes it.
func TestExamplesAreWhatIsWritten(t *testing.T) {
	for kind, args := range examples {
		shown := filepath.Join("..", "..", "deploy", kind, "example")
		if os.Getenv("UPDATE") != "" {
			deployWith(t, shown, args...)
		}
		if diff := cmp.Diff(texts(t, deployWith(t, t.TempDir(), args...)), texts(t, shown)); diff != "" {
			t.Errorf("%s is not what leasehold deploy writes (- written, + shown); UPDATE=1 go test -run %s:\n%s", shown, t.Name(), diff)
		}
	}
}

// texts are the files below a folder.
func texts(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestBirdTakesWhatIsWritten: bird itself checks the example.
func TestBirdTakesWhatIsWritten(t *testing.T) {
	bird := needs(t, "bird", "bird2")
	for _, node := range []string{"node1", "node2", "node3"} {
		file := filepath.Join("..", "..", "deploy", "bird", "example", node, "bird.conf")
		if out, err := exec.Command(bird, "-p", "-c", file).CombinedOutput(); err != nil {
			t.Errorf("bird -p of %s: %v: %s", node, err, out)
		}
	}
}

func TestDeployRefuses(t *testing.T) {
	node := []string{"--node", "a=2001:db8::1", "--node", "b=2001:db8::2"}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"keepalived", "--address", "2001:db8::1/64"}, "is a node's"},
		{[]string{"keepalived", "--address", "192.0.2.1/24"}, "IPv6"},
		{[]string{"keepalived", "--address", "2001:db8::9/64", "--router-id", "256"}, "router id"},
		{[]string{"keepalived", "--address", "2001:db8::9/64", "--advert", "5ms"}, "advertisements"},
		{[]string{"keepalived", "--address", "2001:db8::9/64", "--interface", "eth0; }"}, "interface"},
		{[]string{"keepalived", "--address", "2001:db8::9/64", "--node", "a=2001:db8::3"}, "twice"},
		{[]string{"keepalived", "--address", "2001:db8::9/64", "--node", "../c=2001:db8::3"}, "node name"},
		{[]string{"keepalived", "--address", "2001:db8::9/64", "--node", "c=fe80::1%eth0"}, "address"},
		{[]string{"keepalived", "--address", "2001:db8::9/64", "--track-file", "x y"}, "track file"},
		{[]string{"bird", "--address", "2001:db8::9", "--peer", "2001:db8::fe"}, "address=AS"},
		{[]string{"bird", "--address", "2001:db8::9", "--peer", "2001:db8::1=64500"}, "router"},
		{[]string{"bird", "--address", "2001:db8::9", "--peer", "2001:db8::fe=64500", "--binary", "leasehold"}, "absolute"},
	} {
		root := newRoot("test")
		out := filepath.Join(t.TempDir(), "out")
		root.SetArgs(append(append(append([]string{"deploy"}, tc.args...), node...), "--out", out))
		if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: error %v, want one about %q", tc.args, err, tc.want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%q: something was written", tc.args)
		}
	}
}

// TestDeployAsksTheCluster: the nodes and their addresses are the cluster's own.
func TestDeployAsksTheCluster(t *testing.T) {
	c := startCluster(t, 1)
	root := newRoot("test")
	root.SetArgs([]string{"deploy", "keepalived", "--cluster", strings.Join(c.GRPC(), ","), "--address", "2001:db8::9/64", "--out", t.TempDir()})
	// A cluster on a laptop talks over IPv4, which no virtual IPv6 address goes with.
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "node1 is known as 127.0.0.1") {
		t.Errorf("error %v, want one that names the node and its address", err)
	}
}
