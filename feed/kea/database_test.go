package kea

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDatabase(t *testing.T) {
	for _, tc := range []struct{ config, want string }{
		{`{"Dhcp6": {}}`, ""},
		{`{"Dhcp6": {"lease-database": {"type": "memfile", "lfc-interval": 3600}}}`, ""},
		{`{"Dhcp6": {"lease-database": {"persist": true, "name": "/x", "type": "memfile",},}, }`, ""},
		{`{"Dhcp4": {"lease-database": {"type": "mysql"}}, "Dhcp6": {"hosts-database": {"type": "mysql"}}}`, ""},
		{`{"Dhcp6": {"lease-database": {"type": "memfile", "persist": "no"}}}`, ""},
		{`{"Dhcp6": {"subnet6": [], "lease-database": {"type": "memfile", "persist": false}}}`, `"persist": false`},
		{`{"Dhcp6": {"lease-database": {"host": "db", "type": "postgresql", "port": 5432}}}`, "of the type postgresql"},
		{`{"hash": "x", "Dhcp6": {"lease-database": {"type": "mysql"}}}`, "of the type mysql"},
	} {
		switch err := readDatabase(plain("test", []byte(tc.config))).follows(); {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.config, err)
		case tc.want != "" && (!errors.Is(err, ErrOrphan) || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want ErrOrphan with %q", tc.config, err, tc.want)
		}
	}
}

// TestOrphanedFile: a lease file that was left behind when Kea got another database is not stated, whoever tells of the database.
func TestOrphanedFile(t *testing.T) {
	dir := t.TempDir()
	leases, config := filepath.Join(dir, "leases"), filepath.Join(dir, "kea.conf")
	for path, text := range map[string]string{
		leases: "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source\n" +
			"2001:db8::1,00:01,4294967295,6090391629,1,4294967295,0,1,128,0,0,,,0,,,\n",
		config: `{"Dhcp6": {"lease-database": {"type": "postgresql"}}}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := &fileWay{follower: newFollower(followConfig{path: leases, logger: slog.New(slog.DiscardHandler)}),
		links: subnets{file: config, logger: slog.New(slog.DiscardHandler)}}
	err := w.read(t.Context(), make(chan struct{}), func(_ context.Context, c chunk) error {
		t.Errorf("stated: %+v", c)
		return nil
	})
	if !errors.Is(err, ErrOrphan) {
		t.Errorf("error %v, want ErrOrphan", err)
	}
}
