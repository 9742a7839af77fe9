package iscdhcp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("more.conf", "subnet6 2001:db8:3::/64 { pool6 { range6 2001:db8:3::1 2001:db8:3::2; } }\n")
	main := write("dhcpd6.conf", `# subnet6 2001:db8:9::/64 { }
option x "subnet6 2001:db8:8::/64 { }";
if option a = "b" { x; } else { y; }
shared-network "a b" { subnet6 2001:db8:1::/64 { } include "more.conf"; }
shared-network v4 { subnet 192.0.2.0 netmask 255.255.255.0 { } }
group { subnet6 2001:db8:2::/48 { } host h { } }
`)
	links, err := ReadConfig(main)
	if got := fmt.Sprintf("%+v", links); err == nil && got != "[{Label:shared-network a b Names:[] Prefixes:[2001:db8:1::/64 2001:db8:3::/64] Relays:[]} {Label:subnet 2001:db8:2::/48 Names:[] Prefixes:[2001:db8:2::/48] Relays:[]}]" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	for text, line := range map[string]int{
		"\nsubnet6 2001:db8::1/64 { }": 2, "subnet6 2001:db8::/64 {\n": 2, "a;\n}\n": 2, "x \"abc\n;": 1, "subnet6 2001:db8::/64 { }\nsubnet6 2001:db8::/64 { }": 2, "x": 1,
		"subnet6 fe80::/64 { }": 1,
	} {
		_, err := ReadConfig(write("bad.conf", text))
		var e *RecordError
		if !errors.As(err, &e) || e.Line != line {
			t.Errorf("%q: %v, want line %d", text, err, line)
		}
	}
	if _, err := ReadConfig(write("loop.conf", `include "loop.conf";`)); !errors.Is(err, ErrMeaning) {
		t.Errorf("a file that includes itself: %v", err)
	}
}
