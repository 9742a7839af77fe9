package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Absent names the files of a checked configuration that are not there: a slip of the pen on the machine of the agent, nothing on
// another. What the agent makes itself (the socket and the state of dnsmasq) is not among them.
func (f *Feeder) Absent() (out []Problem) {
	look := func(key, path string) {
		if _, err := os.Stat(path); path != "" && errors.Is(err, fs.ErrNotExist) {
			out = append(out, Problem{Key: key, Text: fmt.Sprintf("there is no %s on this machine", path)})
		}
	}
	for i, s := range f.Sources {
		key := fmt.Sprintf("sources[%d].", i)
		switch {
		case s.Kea != nil:
			lookAtKea(look, key+"kea.", s.Kea)
		case s.ISC != nil:
			look(key+"isc_dhcp.leases", s.ISC.Leases)
			look(key+"isc_dhcp.config", s.ISC.Config)
		case s.Dnsmasq != nil:
			look(key+"dnsmasq.leases", s.Dnsmasq.Leases)
		case s.Upstream != nil:
			lookAtTLS(look, key+"upstream.tls.", s.Upstream.TLS)
		}
	}
	return out
}

func lookAtKea(look func(key, path string), key string, k *Kea) {
	look(key+"leases", k.Leases)
	look(key+"config", k.Config)
	if path, local := strings.CutPrefix(k.Control.URL, "unix:"); local || strings.HasPrefix(path, "/") {
		look(key+"control.url", path)
	}
	look(key+"control.password_file", k.Control.PasswordFile)
	lookAtTLS(look, key+"control.tls.", k.Control.TLS)
	look(key+"push.password_file", k.Push.PasswordFile)
	look(key+"push.tls.certificate", k.Push.TLS.Certificate)
	look(key+"push.tls.key", k.Push.TLS.Key)
	look(key+"push.tls.client_ca", k.Push.TLS.ClientCA)
}

func lookAtTLS(look func(key, path string), key string, t ClientTLS) {
	look(key+"ca", t.CA)
	look(key+"certificate", t.Certificate)
	look(key+"key", t.Key)
}
