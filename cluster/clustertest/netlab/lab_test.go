//go:build linux

package netlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(abandonVariable) != "" {
		abandon()
	}
	goleak.VerifyTestMain(m)
}

// echo answers packets on the host until the test ends.
func echo(t *testing.T, h *Host) (address string) {
	t.Helper()
	c, err := h.ListenPacket("udp", h.AddrPort(7))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(b[:n], from) // what is lost is asked again
		}
	}()
	t.Cleanup(func() { c.Close(); <-ended })
	return h.AddrPort(7)
}

// answered asks again and again until there is an answer, or until what was asked cannot have been answered within two seconds.
func answered(t *testing.T, from *Host, address string) bool {
	t.Helper()
	c, err := from.Dial(t.Context(), net.Dialer{}, "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 20 {
		if _, err := c.Write([]byte("x")); err != nil {
			continue // the neighbour did not answer
		}
		if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 9)); err == nil {
			return true
		}
	}
	return false
}

func TestHostsReachEachOtherAndCutsAreOneWay(t *testing.T) {
	l := New(t)
	a, b := l.Host("a"), l.Host("b")
	atA, atB := echo(t, a), echo(t, b)
	if !answered(t, a, atB) || !answered(t, b, atA) {
		t.Fatal("hosts do not reach each other")
	}
	heard, err := b.ListenPacket("udp", b.AddrPort(8))
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	l.Cut(b, a)
	if answered(t, a, atB) {
		t.Error("an answer came through a cut wire")
	}
	c, err := a.Dial(t.Context(), net.Dialer{}, "udp", b.AddrPort(8))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("one way")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 99)
	if err := heard.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := heard.ReadFrom(got); err != nil || string(got[:n]) != "one way" {
		t.Errorf("the direction that is not cut: %q, %v", got[:n], err)
	}
	l.Heal()
	if !answered(t, a, atB) {
		t.Error("no answer after healing")
	}
}

func TestIsolatePartitionAndLinks(t *testing.T) {
	l := New(t)
	a, b, c := l.Host("a"), l.Host("b"), l.Host("c")
	at := map[*Host]string{a: echo(t, a), b: echo(t, b), c: echo(t, c)}
	want := func(state string, reach map[[2]*Host]bool) {
		t.Helper()
		for pair, yes := range reach {
			if answered(t, pair[0], at[pair[1]]) != yes {
				t.Errorf("%s: %s reaches %s: %t, want %t", state, pair[0].Name, pair[1].Name, !yes, yes)
			}
		}
	}
	l.Isolate(a)
	want("a isolated", map[[2]*Host]bool{{b, a}: false, {b, c}: true})
	l.Heal()
	l.Partition([]*Host{a, b}, []*Host{c})
	want("ab and c parted", map[[2]*Host]bool{{a, b}: true, {c, a}: false})
	l.Heal()
	c.LinkDown()
	if out := c.Run("ip", "-o", "link", "show", Interface); !strings.Contains(out, "NO-CARRIER") {
		t.Errorf("the cable is pulled, and the interface says %q", out)
	}
	want("cable of c pulled", map[[2]*Host]bool{{a, c}: false, {a, b}: true})
	c.LinkUp()
	want("all well", map[[2]*Host]bool{{a, c}: true, {c, b}: true})
}

func TestConnectionsAreOfTheHost(t *testing.T) {
	l := New(t)
	a, b := l.Host("a"), l.Host("b")
	ln, err := b.Listen("tcp", b.AddrPort(547))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := a.Dial(t.Context(), net.Dialer{}, "tcp", b.AddrPort(547))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if host, _, _ := net.SplitHostPort(s.RemoteAddr().String()); host != a.Addr.String() {
		t.Errorf("connection from %s, want %v", host, a.Addr)
	}
	d := net.Dialer{Timeout: time.Second}
	if c, err := d.DialContext(t.Context(), "tcp", b.AddrPort(547)); err == nil {
		c.Close()
		t.Error("the lab is reached from outside")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Dial(ctx, net.Dialer{}, "tcp", b.AddrPort(547)); !errors.Is(err, context.Canceled) {
		t.Errorf("dialled with a context that is over: %v", err)
	}
}

func TestProcesses(t *testing.T) {
	l := New(t)
	h := l.Host("a")
	p := h.Start("sh", "-c", "cat /proc/self/net/if_inet6; echo done; exec sleep 1000")
	until(t, "it has written", func() bool { return strings.Contains(p.Output(), "done") })
	if !strings.Contains(p.Output(), "20010db8054700000000000000000001") {
		t.Errorf("the process sees interfaces %q, want the host's", p.Output())
	}
	p.Freeze()
	until(t, "it is stopped", func() bool { return state(p.PID()) == "T" })
	p.Thaw()
	until(t, "it sleeps", func() bool { return state(p.PID()) == "S" })
	p.Stop(patience)
	if err := p.Err(); err == nil || p.Running() {
		t.Errorf("ended by a signal: %v", err)
	}
	q := h.Start("sleep", "1000")
	q.Kill()
	q.Kill() // once more does not matter
	if _, err := h.TryRun("false"); err == nil {
		t.Error("a program that fails has not failed")
	}
	group := h.Start("sh", "-c", "sleep 1000 & echo $!; wait")
	until(t, "its child runs", func() bool { return strings.Contains(group.Output(), "\n") })
	group.KillGroup()
	child := strings.TrimSpace(group.Output())
	until(t, "the child is gone", func() bool { return gone(child) })
}

// What a test leaves, and what a killed one leaves, is taken away.
func TestNothingIsLeft(t *testing.T) {
	var namespace, child string
	t.Run("ended", func(t *testing.T) {
		h := New(t).Host("a")
		p := h.Start("sh", "-c", "setsid sleep 1000 & echo $!; wait") // a child in a session of its own
		until(t, "its child runs", func() bool { return strings.Contains(p.Output(), "\n") })
		namespace, child = h.Namespace(), strings.TrimSpace(p.Output())
	})
	if namespace == "" {
		t.Skip("see above")
	}
	requireGone(t, namespace, child)

	cmd := exec.Command(os.Args[0], "-test.run=^TestAbandoned$")
	cmd.Env = append(os.Environ(), abandonVariable+"=yes")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscan(out, &namespace, &child); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(namespacesDir + "/" + namespace); err != nil {
		t.Fatalf("the other process has no namespace: %v", err)
	}
	New(t) // while the other lives, nothing of it is touched
	if gone(child) {
		t.Error("a process of another lab was ended")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, out) // until it is gone
	_ = cmd.Wait()           // killed
	New(t)
	requireGone(t, namespace, child)
}

const abandonVariable = "LEASEHOLD_TEST_ABANDON"

// abandon is the other process of TestNothingIsLeft: it makes a lab and waits to be killed.
func abandon() {
	testing.Init()
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "TestAbandoned", F: func(t *testing.T) {
		h := New(t).Host("a")
		p := h.Start("sh", "-c", "setsid sleep 1000 & echo $!; wait")
		until(t, "its child runs", func() bool { return strings.Contains(p.Output(), "\n") })
		fmt.Println(h.Namespace(), strings.TrimSpace(p.Output()))
		<-p.Done()
	}}}, nil, nil)
}

func requireGone(t *testing.T, namespace, child string) {
	t.Helper()
	if _, err := os.Stat(namespacesDir + "/" + namespace); !os.IsNotExist(err) {
		t.Errorf("the namespace %s is still there", namespace)
	}
	until(t, "the child is gone", func() bool { return gone(child) })
}

func gone(pid string) bool {
	_, err := os.Stat("/proc/" + pid)
	return os.IsNotExist(err)
}

// state is the letter that proc(5) has for what a process does.
func state(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	f := strings.Fields(string(b))
	if len(f) < 3 {
		return ""
	}
	return f[2]
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	over := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
