package leasetest

import "strings"

// ReadDnsmasq reads a lease file that dnsmasq wrote: for each address, with /128, the five fields of its line. It is simple, to hold the
// reader of feed/dnsmasq against it.
func ReadDnsmasq(text string) map[string][]string {
	out := map[string][]string{}
	_, v6, _ := strings.Cut("\n"+text, "\nduid ")
	for _, line := range strings.Split(v6, "\n")[1:] {
		if f := strings.Split(line, " "); len(f) == 5 {
			out[f[2]+"/128"] = f
		}
	}
	return out
}
