package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// feeder looks at every value of an agent's configuration.
func (c *checker) feeder(f *Feeder) {
	if len(f.Cluster) == 0 {
		c.errorf("cluster", "is empty: want the gRPC addresses of nodes")
	}
	for i, a := range f.Cluster {
		c.dialled(fmt.Sprintf("cluster[%d]", i), a)
	}
	if f.HTTP.Listen != "" {
		if host, ok := c.hostPort("http.listen", f.HTTP.Listen); ok {
			c.beyondLoopback("http.listen", host)
		}
	}
	c.log(f.Log)
	if len(f.Sources) == 0 {
		c.errorf("sources", "is empty: nothing to feed")
	}
	names := map[string]bool{}
	for i := range f.Sources {
		key := fmt.Sprintf("sources[%d]", i)
		c.source(key, &f.Sources[i])
		if name := f.Sources[i].Name; names[name] {
			c.errorf(key+".name", "%q is there twice: a source is one DHCP server, or a pair, and one agent feeds it once", name)
		}
		names[f.Sources[i].Name] = true
	}
	c.shared(f)
}

// shared looks for what two parts of a configuration cannot share, or would hardly want to.
func (c *checker) shared(f *Feeder) {
	listens, reads := map[string]string{}, map[string]string{} // by address or file: who has it
	listen := func(key, at string) {
		if other := listens[at]; other != "" && at != "" {
			c.errorf(key, "%s is %s, too", at, other)
			return
		}
		listens[at] = key
	}
	read := func(key, what string) {
		if other := reads[what]; other != "" && what != "" {
			c.warnf(key, "%s is %s, too: two sources with the same leases", what, other)
			return
		}
		reads[what] = key
	}
	listen("http.listen", f.HTTP.Listen)
	for i, s := range f.Sources {
		key := fmt.Sprintf("sources[%d].", i)
		switch {
		case s.Kea != nil:
			listen(key+"kea.push.listen", s.Kea.Push.Listen)
			read(key+"kea.leases", s.Kea.Leases)
			read(key+"kea.control.url", s.Kea.Control.URL)
		case s.ISC != nil:
			read(key+"isc_dhcp.leases", s.ISC.Leases)
		case s.Dnsmasq != nil:
			listen(key+"dnsmasq.socket", s.Dnsmasq.Socket)
			read(key+"dnsmasq.leases", s.Dnsmasq.Leases)
		}
	}
}

// dialled is hostPort of an address that others listen on.
func (c *checker) dialled(key, s string) {
	if _, ok := c.hostPort(key, s); ok && strings.HasSuffix(s, ":0") {
		c.errorf(key, "%q: nobody listens on port 0", s)
	}
}

func (c *checker) beyondLoopback(key, host string) {
	if a, err := netip.ParseAddr(host); err == nil && !a.IsLoopback() {
		c.warnf(key, "%s is beyond loopback, and nobody is asked who he is", host)
	}
}

func (c *checker) source(key string, s *Source) {
	if len(s.Name) == 0 || len(s.Name) > 255 {
		c.errorf(key+".name", "%d octets, want 1 to 255: the name of the DHCP server, or of the pair", len(s.Name))
	}
	kinds := 0
	if s.Kea != nil {
		kinds++
		c.kea(key+".kea", s.Kea)
	}
	if s.ISC != nil {
		kinds++
		c.path(key+".isc_dhcp.leases", &s.ISC.Leases, true)
		c.path(key+".isc_dhcp.config", &s.ISC.Config, false)
		c.resync(key+".isc_dhcp.resync", s.ISC.Resync)
	}
	if s.Dnsmasq != nil {
		kinds++
		c.path(key+".dnsmasq.leases", &s.Dnsmasq.Leases, true)
		c.path(key+".dnsmasq.socket", &s.Dnsmasq.Socket, false)
		c.path(key+".dnsmasq.state", &s.Dnsmasq.State, false)
		c.links(key+".dnsmasq.links", s.Dnsmasq.Links)
		c.resync(key+".dnsmasq.resync", s.Dnsmasq.Resync)
	}
	if s.Upstream != nil {
		kinds++
		c.upstream(key+".upstream", s.Upstream)
	}
	if kinds != 1 {
		c.errorf(key, "has %d of kea, isc_dhcp, dnsmasq and upstream, want one", kinds)
	}
}

func (c *checker) clientTLS(key string, t *ClientTLS) {
	c.path(key+".ca", &t.CA, false)
	c.path(key+".certificate", &t.Certificate, false)
	c.path(key+".key", &t.Key, false)
	if (t.Certificate == "") != (t.Key == "") {
		c.errorf(key, "certificate and key go together")
	}
}

func (c *checker) upstream(key string, u *Upstream) {
	if len(u.Servers) == 0 {
		c.errorf(key+".servers", "is empty: want host:port of a server that speaks leasequery")
	}
	for i, s := range u.Servers {
		c.dialled(fmt.Sprintf("%s.servers[%d]", key, i), s)
	}
	if len(u.Links)+len(u.RelayIDs)+len(u.RemoteIDs)+len(u.ClientIDs) == 0 {
		c.errorf(key, "asks for nothing: give links, relay_ids, remote_ids or client_ids")
	}
	if u.Everything && !u.Active {
		c.errorf(key+".everything", "goes with active")
	}
	c.links(key+".links", u.Links)
	c.clientTLS(key+".tls", &u.TLS)
	if u.TLS.Certificate == "" && (u.TLS.CA != "" || u.TLS.ServerName != "") {
		c.errorf(key+".tls", "servers want to see a certificate: give certificate and key")
	}
	c.identifiers(key+".relay_ids", u.RelayIDs, 130)
	c.identifiers(key+".client_ids", u.ClientIDs, 130)
	for i, s := range u.RemoteIDs {
		number, rest, _ := strings.Cut(s, ":")
		if _, err := strconv.ParseUint(number, 10, 32); err != nil {
			c.errorf(fmt.Sprintf("%s.remote_ids[%d]", key, i), "%q: want ENTERPRISE:HEX", s)
		}
		c.identifiers(fmt.Sprintf("%s.remote_ids[%d]", key, i), []string{rest}, 1024)
	}
	c.resync(key+".every", u.Every)
}

func (c *checker) identifiers(key string, hex []string, most int) {
	for i, s := range hex {
		if b, err := parseHex(s); err != nil || len(b) == 0 || len(b) > most {
			c.errorf(fmt.Sprintf("%s[%d]", key, i), "%q: want 1 to %d octets in hex", s, most)
		}
	}
}

func (c *checker) links(key string, links []Link) {
	names := map[string]bool{}
	for i, l := range links {
		key := fmt.Sprintf("%s[%d]", key, i)
		if l.Name == "" || len(l.Prefixes) == 0 {
			c.errorf(key, "want a name and at least one prefix")
		} else if names[l.Name] {
			c.errorf(key+".name", "%q is there twice: one link has all its prefixes", l.Name)
		}
		names[l.Name] = true
		for j, p := range l.Prefixes {
			if x, err := netip.ParsePrefix(p); err != nil || !x.Addr().Is6() {
				c.errorf(fmt.Sprintf("%s.prefixes[%d]", key, j), "%q: want an IPv6 prefix", p)
			} else if x.Masked() != x {
				c.errorf(fmt.Sprintf("%s.prefixes[%d]", key, j), "%q: has bits behind its length", p)
			}
		}
		for j, r := range l.Relays {
			if a, err := netip.ParseAddr(r); err != nil || !a.Is6() || a.Zone() != "" {
				c.errorf(fmt.Sprintf("%s.relays[%d]", key, j), "%q: want an IPv6 address", r)
			}
		}
	}
}

func (c *checker) resync(key string, d time.Duration) {
	if d != 0 && (d < time.Second || d > 7*24*time.Hour) {
		c.errorf(key, "%v, want 1s to 168h", d)
	}
}

// path makes a file's path relative to the configuration file's folder.
func (c *checker) path(key string, p *string, needed bool) {
	switch {
	case *p == "" && needed:
		c.errorf(key, "is needed")
	case *p != "" && !filepath.IsAbs(*p):
		*p = filepath.Join(c.folder, *p)
	}
}
