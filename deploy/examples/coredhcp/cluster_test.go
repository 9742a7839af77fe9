package leasehold

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coredhcp/coredhcp/config"
	"github.com/coredhcp/coredhcp/plugins"
	"github.com/coredhcp/coredhcp/plugins/prefix"
	"github.com/coredhcp/coredhcp/plugins/serverid"
	"github.com/coredhcp/coredhcp/server"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	adminv1 "github.com/leasehold/leasehold/proto/admin/v1"
)

// TestLeasesReachTheCluster runs coredhcp on loopback with the plugin behind its own, asks it through two relays for a prefix, and gives
// the prefix back. The cluster is at LEASEHOLD_CLUSTER.
func TestLeasesReachTheCluster(t *testing.T) {
	cluster := os.Getenv("LEASEHOLD_CLUSTER")
	if cluster == "" {
		t.Skip("LEASEHOLD_CLUSTER names no cluster; the tests of cmd/leasehold run this one with theirs")
	}
	at := startServer(t, cluster)
	node, _, _ := strings.Cut(cluster, ",")
	conn, err := grpc.NewClient(node, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	admin := adminv1.NewAdminClient(conn)

	request := message(t, dhcpv6.MessageTypeRequest, 0)
	request.AddOption(dhcpv6.OptServerID(serverOf(t, at)))
	reply := ask(t, at, relayed(t, request))
	if len(reply.Options.IAPD()) == 0 || len(reply.Options.IAPD()[0].Options.Prefixes()) == 0 {
		t.Fatalf("no prefix in %v", reply.Summary())
	}
	granted := reply.Options.IAPD()[0].Options.Prefixes()[0].Prefix.String()
	got := bindings(t, admin) // the reply waited for the majority
	if len(got) != 1 || got[0].GetPrefix() != granted || got[0].GetSource() != "coredhcp" || got[0].GetIaid() != 0xff000003 || got[0].GetValid() == 0 || got[0].GetValid() > 3600 {
		t.Fatalf("the cluster has %v, want %s", got, granted)
	}
	release := message(t, dhcpv6.MessageTypeRelease, 0)
	release.UpdateOption(dhcpv6.OptServerID(serverOf(t, at)))
	release.Options.Del(dhcpv6.OptionIAPD)
	release.AddOption(reply.Options.IAPD()[0])
	ask(t, at, relayed(t, release))
	if got := bindings(t, admin); len(got) != 0 {
		t.Errorf("after the release the cluster has %v", got)
	}
}

// startServer runs coredhcp until the test ends, and gives its address.
func startServer(t *testing.T, cluster string) *net.UDPAddr {
	t.Helper()
	at := freePort(t)
	path := filepath.Join(t.TempDir(), "config.yml")
	text := fmt.Sprintf("server6:\n    listen: \"[::1]:%d\"\n    plugins:\n        - server_id: LL 00:de:ad:be:ef:00\n        - prefix: 2001:db8:8000::/40 56\n"+
		"        - leasehold: source=coredhcp cluster=%s insecure wait=20s\n", at.Port, cluster)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*plugins.Plugin{&serverid.Plugin, &prefix.Plugin, &Plugin} {
		if err := plugins.RegisterPlugin(p); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return at
}

// freePort is an address that nobody uses, with a port below those that the kernel gives to whoever wants any: it stays free.
func freePort(t *testing.T) *net.UDPAddr {
	t.Helper()
	var last error
	for range 100 {
		at := &net.UDPAddr{IP: net.IPv6loopback, Port: 10240 + rand.IntN(22000)}
		free, err := net.ListenUDP("udp6", at)
		if err == nil {
			free.Close()
			return at
		}
		last = err
	}
	t.Fatal(last)
	return nil
}

// serverOf asks for the server's DUID.
func serverOf(t *testing.T, at *net.UDPAddr) dhcpv6.DUID {
	t.Helper()
	return ask(t, at, relayed(t, message(t, dhcpv6.MessageTypeSolicit, 0))).Options.ServerID()
}

// ask sends a message and is the client's part of the answer.
func ask(t *testing.T, at *net.UDPAddr, m *dhcpv6.RelayMessage) *dhcpv6.Message {
	t.Helper()
	conn, err := net.DialUDP("udp6", nil, at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(m.ToBytes()); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 65536)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	d, err := dhcpv6.FromBytes(b[:n])
	if err != nil {
		t.Fatal(err)
	}
	inner, err := d.GetInnerMessage()
	if err != nil {
		t.Fatal(err)
	}
	return inner
}

func bindings(t *testing.T, admin adminv1.AdminClient) (out []*adminv1.Binding) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stream, err := admin.ListBindings(ctx, &adminv1.ListBindingsRequest{Consistent: true, Source: "coredhcp"})
	if err != nil {
		t.Fatal(err)
	}
	for {
		r, err := stream.Recv()
		if err != nil {
			return out
		}
		out = append(out, r.GetBindings()...)
	}
}
