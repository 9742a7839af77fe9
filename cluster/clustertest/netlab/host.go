//go:build linux

package netlab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Interface is the name of every host's interface.
const Interface = "eth0"

var hostName = regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)

// Host is a machine of the lab: a network namespace with loopback and an interface, Interface, on the lab's bridge.
type Host struct {
	Name  string
	Addr  netip.Addr // on Interface, of 2001:db8:547::/64, usable at once
	Addr4 netip.Addr // on Interface, of 192.0.2.0/24

	lab       *Lab
	namespace string
	port      string // its end of the wire in the bridge
	processes []*Process
}

// Host makes a host. The name is of up to twelve lower-case letters and digits.
func (l *Lab) Host(name string) *Host {
	l.tb.Helper()
	if !hostName.MatchString(name) {
		l.tb.Fatalf("host name %q: want up to twelve lower-case letters and digits", name)
	}
	l.mu.Lock()
	n := len(l.hosts) + 1
	if n > 200 {
		l.mu.Unlock()
		l.tb.Fatalf("a lab of more than 200 hosts")
	}
	h := &Host{Name: name, Addr: netip.MustParseAddr(fmt.Sprintf("2001:db8:547::%d", n)), Addr4: netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}),
		lab: l, namespace: l.prefix + name, port: "p-" + name}
	l.hosts = append(l.hosts, h)
	l.mu.Unlock()
	l.ip("netns", "add", h.namespace)
	h.Sysctl("net/ipv6/conf/default/accept_dad", "0") // link-local addresses are usable at once too
	l.ip("-n", h.namespace, "link", "set", "lo", "up")
	l.ip("link", "add", Interface, "netns", h.namespace, "type", "veth", "peer", "name", h.port, "netns", l.wires)
	l.ip("-n", l.wires, "link", "set", h.port, "master", bridge, "up")
	l.ip("-n", h.namespace, "address", "add", h.Addr.String()+"/64", "dev", Interface, "nodad")
	l.ip("-n", h.namespace, "address", "add", h.Addr4.String()+"/24", "dev", Interface)
	l.ip("-n", h.namespace, "link", "set", Interface, "up")
	return h
}

// Namespace is the name of the host's namespace, for ip netns.
func (h *Host) Namespace() string { return h.namespace }

// AddrPort is the host's IPv6 address with a port, as net.Dial wants it.
func (h *Host) AddrPort(port uint16) string { return netip.AddrPortFrom(h.Addr, port).String() }

// Sysctl sets a kernel parameter of the host's network, such as net/ipv6/conf/eth0/forwarding.
func (h *Host) Sysctl(name, value string) {
	h.lab.tb.Helper()
	if err := h.Do(func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0o644) }); err != nil {
		h.lab.tb.Fatalf("set %s on %s: %v", name, h.Name, err)
	}
}

// Do runs f on a thread that is on the host, and returns its error: sockets that f makes on its own goroutine are the host's and
// stay so. Names are not to be resolved in f. f must not end the test.
func (h *Host) Do(f func() error) error {
	var err error
	onThread(func() {
		if err = h.enter(); err == nil {
			err = f()
		}
	})
	return err
}

// enter moves the thread, which must be locked and end soon, to the host.
func (h *Host) enter() error {
	ns, err := os.Open(namespacesDir + "/" + h.namespace)
	if err != nil {
		return fmt.Errorf("open the namespace of %s: %w", h.Name, err)
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the namespace of %s: %w", h.Name, err)
	}
	return nil
}

// onThread runs f on a thread of its own, which ends with it, whatever f made of it.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the main thread never ends, and is what /proc tells of the process: leave it be
			defer runtime.UnlockOSThread()
			onThread(f)
			return
		}
		f()
	}()
	<-done
}

// Dial connects from the host, as a net.Dialer would. The address is in figures.
func (h *Host) Dial(ctx context.Context, d net.Dialer, network, address string) (c net.Conn, err error) {
	err = h.Do(func() (err error) {
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Listen listens on the host for connections.
func (h *Host) Listen(network, address string) (ln net.Listener, err error) {
	err = h.Do(func() (err error) {
		ln, err = net.Listen(network, address)
		return err
	})
	return ln, err
}

// ListenPacket listens on the host for packets.
func (h *Host) ListenPacket(network, address string) (c net.PacketConn, err error) {
	err = h.Do(func() (err error) {
		c, err = net.ListenPacket(network, address)
		return err
	})
	return c, err
}

// Run runs a program on the host to its end and returns what it wrote. It fails the test if the program fails.
func (h *Host) Run(program string, args ...string) string {
	h.lab.tb.Helper()
	out, err := h.TryRun(program, args...)
	if err != nil {
		h.lab.tb.Fatalf("%s %s on %s: %v: %s", program, strings.Join(args, " "), h.Name, err, out)
	}
	return out
}

// TryRun is Run that returns the error.
func (h *Host) TryRun(program string, args ...string) (string, error) {
	var out []byte
	err := h.Do(func() (err error) {
		out, err = exec.Command(program, args...).CombinedOutput()
		return err
	})
	return string(out), err
}
