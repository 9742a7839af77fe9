package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIdentityIsMadeOnceAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	first, err := loadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !validUUID(first.NodeID) {
		t.Errorf("node id %q is not a UUID", first.NodeID)
	}
	again, err := loadIdentity(dir)
	if err != nil || again != first {
		t.Errorf("identity of the same directory: %v, %v; want %v", again, err, first)
	}
	other, err := loadIdentity(t.TempDir())
	if err != nil || other.NodeID == first.NodeID {
		t.Errorf("identity of an empty directory: %v, %v; want another than %v", other, err, first)
	}
}

func TestIdentityRefuses(t *testing.T) {
	const uuid = "01234567-89ab-4def-8123-456789abcdef"
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  []string // in the error
	}{
		{"log gone", map[string]string{identityFile: `{"node_id":"` + uuid + `","has_log":true}`}, []string{logFile, "is gone", uuid, "under a new id"}},
		{"log gone, cluster known", map[string]string{identityFile: `{"node_id":"` + uuid + `","cluster_id":"c"}`}, []string{logFile, "is gone"}},
		{"identity gone", map[string]string{logFile: "x"}, []string{logFile, identityFile, "nobody knows whose log"}},
		{"identity torn", map[string]string{identityFile: `{"node_`}, []string{identityFile, "restore the file"}},
		{"identity is no UUID", map[string]string{identityFile: `{"node_id":"node1"}`}, []string{`"node1"`, "UUID"}},
	} {
		dir := t.TempDir()
		for name, text := range tc.files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := loadIdentity(dir)
		if err == nil {
			t.Errorf("%s: no error", tc.name)
			continue
		}
		for _, want := range append(tc.want, dir) {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not name %q", tc.name, err, want)
			}
		}
	}
}

func TestIdentityWithLogIsLoaded(t *testing.T) {
	dir := t.TempDir()
	want := Identity{NodeID: formatUUID(newUUID()), ClusterID: formatUUID(newUUID()), HasLog: true}
	if err := want.save(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, logFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := loadIdentity(dir); err != nil || got != want {
		t.Errorf("identity = %v, %v; want %v", got, err, want)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
}

func TestConfigTellsEverythingThatIsWrong(t *testing.T) {
	c := DefaultConfig()
	c.LeaderLease = 2 * c.HeartbeatTimeout
	c.MaxEntry = int(c.MaxInFlight)
	c.BootstrapExpect = 10
	err := c.check()
	for _, want := range []string{"name", "data directory", "gRPC address", "leader lease", "max in flight", "bootstrap_expect"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %q", err, want)
		}
	}
	good := DefaultConfig()
	good.Name, good.DataDir, good.GRPCAddress = "n", "d", "h:1"
	if err := good.check(); err != nil {
		t.Errorf("default configuration: %v", err)
	}
}
