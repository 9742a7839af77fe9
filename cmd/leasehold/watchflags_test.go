package main

import (
	"strings"
	"testing"
)

// TestWatchNamesTheFlags: flags that do not go together are named in the words of the command line.
func TestWatchNamesTheFlags(t *testing.T) {
	link := []string{"link-address", "2001:db8::1"}
	for name, tc := range map[string]struct {
		flags watchFlags
		args  []string
		want  string // empty: nothing is wrong
	}{
		"everything, full":       {watchFlags{since: "now", full: true}, nil, "--recover"},
		"everything, recovering": {watchFlags{since: "now", full: true, recover: []string{"link-address=2001:db8::1"}}, nil, ""},
		"a type, recovering":     {watchFlags{since: "now", recover: []string{"link-address=2001:db8::1"}}, link, "--recover"},
		"a type, full":           {watchFlags{since: "now", full: true}, link, ""},
		"full, since":            {watchFlags{since: "5", full: true}, link, "--since"},
		"recover, no value":      {watchFlags{since: "now", recover: []string{"link-address"}}, nil, "TYPE=VALUE"},
		"a link, no type":        {watchFlags{since: "now", queryFlags: queryFlags{link: "2001:db8::1"}}, nil, "--link"},
	} {
		_, err := tc.flags.active(tc.args)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: got %v, want one that names %s", name, err, tc.want)
		}
	}
}
