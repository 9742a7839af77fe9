package config

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

func (c *checker) kea(key string, k *Kea) {
	if k.Leases == "" && k.Control.URL == "" && k.Push.Listen == "" {
		c.errorf(key, "has none of leases, control.url and push.listen: nothing to learn from")
	}
	if k.Push.Listen != "" && k.Control.URL == "" && k.Leases == "" {
		c.warnf(key+".push", "alone it never learns what Kea does not send (expiry, operators' commands, what came while it was down): give control.url or leases too")
	}
	c.path(key+".leases", &k.Leases, false)
	c.path(key+".config", &k.Config, false)
	c.resync(key+".resync", k.Resync)
	if k.Page < 0 || k.Page > 10000 {
		c.errorf(key+".page", "%d, want 1 to 10000", k.Page)
	} else if k.Page > 1000 {
		c.warnf(key+".page", "Kea answers nobody while it makes a page: 100 to 250 are well")
	}
	c.control(key+".control", &k.Control)
	c.push(key+".push", &k.Push)
	if k.Push.Early && k.Control.URL == "" && k.Leases == "" {
		c.errorf(key+".push.early", "it needs leases or control, which make good what an agent that crashes has not passed on")
	}
}

func (c *checker) control(key string, k *Control) {
	local := filepath.IsAbs(k.URL) || strings.HasPrefix(k.URL, "unix:")
	u, err := url.Parse(k.URL)
	switch {
	case k.URL == "" && (k.User != "" || k.PasswordFile != "" || k.TLS != ClientTLS{}):
		c.errorf(key+".url", "is empty, and user, password_file and tls go with it")
	case local && (k.User != "" || k.PasswordFile != "" || k.TLS != ClientTLS{}):
		c.errorf(key+".url", "%q is a socket of this machine, where Kea asks for neither password nor certificate: leave out user, password_file and tls", k.URL)
	case k.URL == "" || filepath.IsAbs(k.URL):
	case err == nil && u.Scheme == "unix" && (u.Path == "" || u.Host != ""):
		c.errorf(key+".url", "%q: want unix:/path", k.URL)
	case err != nil || u.Scheme != "unix" && u.Scheme != "http" && u.Scheme != "https":
		c.errorf(key+".url", "%q: want unix:/path (or the path alone), http://host:port/ or https://host:port/", k.URL)
	case u.Scheme != "unix" && u.Host == "":
		c.errorf(key+".url", "%q: has no host", k.URL)
	case u.User != nil:
		c.errorf(key+".url", "has a password in it: give user and password_file")
	case u.Scheme == "http" && k.TLS != ClientTLS{}:
		c.errorf(key+".url", "%q is in clear, and tls goes with https://", k.URL)
	case u.Scheme == "http" && k.User != "":
		c.warnf(key+".url", "the password goes over the network in clear")
	}
	c.credentials(key, k.User, &k.PasswordFile)
	c.clientTLS(key+".tls", &k.TLS)
}

func (c *checker) credentials(key, user string, file *string) {
	c.path(key+".password_file", file, false)
	if (user == "") != (*file == "") {
		c.errorf(key+".user", "user and password_file go together")
	}
}

func (c *checker) push(key string, p *Push) {
	c.credentials(key, p.User, &p.PasswordFile)
	for _, f := range []struct {
		key  string
		path *string
	}{{".tls.certificate", &p.TLS.Certificate}, {".tls.key", &p.TLS.Key}, {".tls.client_ca", &p.TLS.ClientCA}} {
		c.path(key+f.key, f.path, false)
	}
	if (p.TLS.Certificate == "") != (p.TLS.Key == "") || (p.TLS.ClientCA != "" && p.TLS.Certificate == "") {
		c.errorf(key+".tls", "certificate and key go together, and client_ca needs both")
	}
	if p.Listen == "" {
		if *p != (Push{}) {
			c.errorf(key+".listen", "is empty, and user, password_file, tls and early go with it")
		}
		return
	}
	if strings.HasSuffix(p.Listen, ":0") {
		c.errorf(key+".listen", "%q: Kea has to know the port", p.Listen)
	}
	host, ok := c.hostPort(key+".listen", p.Listen)
	if a, err := netip.ParseAddr(host); ok && p.User == "" && p.TLS.ClientCA == "" && !(err == nil && a.IsLoopback()) {
		c.warnf(key+".listen", "whoever reaches %s can state leases: give user, or tls.client_ca", p.Listen)
	}
}
