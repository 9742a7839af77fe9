package config

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

var equateAddrs = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

const minimal = "name: n\ndata_dir: /d\n"

func TestReferenceHoldsEveryKeyWithItsDefault(t *testing.T) {
	got, warnings, err := Parse("reference.yaml", Reference(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
	want := Default()
	want.Name, want.DataDir = "node1", "/var/lib/leasehold"
	want.Requestors = got.Requestors
	// An empty sequence in the file is the same as none.
	got.Cluster.Join, got.Sensitive, got.Active.Sensitive, got.UDP.Multicast = nil, nil, nil, nil
	if d := cmp.Diff(want, got, equateAddrs); d != "" {
		t.Errorf("the reference differs from the defaults (-default +reference):\n%s", d)
	}
	var doc map[string]any
	if err := yaml.Load(Reference(), &doc); err != nil {
		t.Fatal(err)
	}
	requireKeys(t, "", reflect.TypeFor[Config](), doc)
}

// requireKeys fails for each key of a configuration struct that the document lacks.
func requireKeys(t *testing.T, path string, typ reflect.Type, doc map[string]any) {
	t.Helper()
	for i := range typ.NumField() {
		f := typ.Field(i)
		key := f.Tag.Get("yaml")
		v, ok := doc[key]
		if !ok {
			t.Errorf("the reference lacks %s%s", path, key)
			continue
		}
		if m, isMap := v.(map[string]any); isMap && f.Type.Kind() == reflect.Struct {
			requireKeys(t, path+key+".", f.Type, m)
		}
	}
}

// TestUnreadableValuesDoNotHideOtherErrors: what cannot be read and what must not be are told together, each line once, in words
// that know nothing of Go's types.
func TestUnreadableValuesDoNotHideOtherErrors(t *testing.T) {
	const file = "name: [n]\ndata_dir: /d\nbulks: {}\nbulk:\n  idle_timeout: 5\nraft:\n  listen: \"192.0.2.1:5471\"\n"
	_, _, err := Parse("f.yaml", []byte(file), nil)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want *Error", err)
	}
	var lines []int
	for _, p := range e.Problems {
		lines = append(lines, p.Line)
	}
	if d := cmp.Diff([]int{1, 3, 5, 7}, lines); d != "" {
		t.Errorf("lines told (-want +got):\n%s", d)
	}
	for _, want := range []string{`key "bulks" is not known`, "a duration, such as 30s"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
}

func TestEveryErrorAtOnceWithItsLine(t *testing.T) {
	const file = "name: n\ndata_dir: /d\nbulk:\n  max_connections: 0\n  idle_timeout: -1s\nraft:\n  listen: \"192.0.2.1:5471\"\nlog:\n  level: loud\n"
	_, _, err := Parse("f.yaml", []byte(file), nil)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want *Error", err)
	}
	var got []string
	for _, p := range e.Problems {
		got = append(got, p.Key)
		if want := map[string]int{"bulk.max_connections": 4, "bulk.idle_timeout": 5, "raft.listen": 7, "log.level": 9}[p.Key]; p.Line != want {
			t.Errorf("%s told on line %d, stands on %d", p.Key, p.Line, want)
		}
	}
	if d := cmp.Diff([]string{"bulk.max_connections", "bulk.idle_timeout", "raft.listen", "log.level"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct{ file, want string }{
		"unknown key":            {minimal + "bulk:\n  max_conections: 5\n", "line 4"},
		"two unknown keys":       {minimal + "a: 1\nb: 2\n", "line 4"},
		"wrong type":             {minimal + "bulk: {max_connections: many}\n", "line 3"},
		"no name":                {"data_dir: /d\n", "name: a node needs a name"},
		"beyond loopback":        {minimal + "grpc: {listen: \"[2001:db8::1]:1\"}\n", "set insecure: true"},
		"unspecified":            {minimal + "insecure: true\ngrpc: {listen: \"[::]:1\"}\n", "needs grpc.advertise"},
		"host name":              {minimal + "grpc: {listen: \"localhost:1\"}\n", "is not an IP address"},
		"port":                   {minimal + "http: {listen: \"127.0.0.1:70000\"}\n", "port \"70000\""},
		"prefix with host bits":  {minimal + "requestors: [{prefixes: [\"2001:db8::1/64\"]}]\n", "did you mean 2001:db8::/64"},
		"prefix twice":           {minimal + "requestors: [{prefixes: [\"::1/128\"]}, {prefixes: [\"::1/128\"]}]\n", "stands in requestors[0] already"},
		"query type":             {minimal + "requestors: [{prefixes: [\"::1/128\"], query_types: [mac]}]\n", "query_types[0]"},
		"relay-id":               {minimal + "requestors: [{prefixes: [\"::1/128\"], restricted: {relay_ids: [zz]}}]\n", "relay_ids[0]"},
		"not a mapping":          {"- a\n", "mapping"},
		"syntax":                 {"name: [\n", "line"},
		"second document":        {minimal + "---\nname: m\n", ""},
		"no subscriptions":       {minimal + "active: {max_subscriptions: 0}\n", "active.max_subscriptions: 0, want 1"},
		"idle interval":          {minimal + "active: {idle_interval: 0s}\n", "active.idle_interval: 0s, want more than 0"},
		"subscriber's patience":  {minimal + "active: {data_timeout: -1s}\n", "active.data_timeout: -1s, want more than 0"},
		"tls mode":               {minimal + "tls: {mode: sometimes}\n", "want off, optional or required"},
		"tls without files":      {minimal + "tls: {mode: optional}\n", "line 3: tls.requestor_ca: is needed"},
		"tls file is not there":  {minimal + "tls: {mode: required, key: nothing.pem}\n", "/d/nothing.pem: no such file"},
		"tls file is a folder":   {minimal + "tls: {mode: required, key: /}\n", "/ is not a file"},
		"handshake timeout":      {minimal + "tls: {handshake_timeout: 0s}\n", "tls.handshake_timeout: 0s"},
		"udp over IPv4":          {minimal + "leasequery: {listen: \"127.0.0.1:547\"}\n", "leasequery.listen: 127.0.0.1 is IPv4"},
		"udp rate":               {minimal + "udp: {rate: -1}\n", "udp.rate: -1, want 0"},
		"udp rate is no number":  {minimal + "udp: {rate: .nan}\n", "udp.rate: NaN, want 0"},
		"hops":                   {minimal + "udp: {max_hops: 33}\n", "udp.max_hops: 33, want 1 to 32"},
		"udp hold":               {minimal + "udp: {hold: 2m}\n", "udp.hold: 2m0s, want 0s to 1m"},
		"multicast":              {minimal + "udp: {multicast: [\"\"]}\n", "udp.multicast[0]: is empty"},
		"relay data":             {minimal + "relay_data: never\n", "line 3: relay_data: \"never\", want on-request or always"},
		"place of relay data":    {minimal + "relay_data:\n  place: nowhere\n", "line 4: relay_data.place: \"nowhere\", want client-data or message"},
		"key of relay data":      {minimal + "relay_data:\n  plaice: message\n", "line 4: key \"plaice\" is not known"},
		"no prefix and no name":  {minimal + "requestors: [{name: x}]\n", "requestors[0].prefixes: is empty"},
		"name twice":             {minimal + "requestors: [{names: [a.example]}, {names: [A.EXAMPLE]}]\n", "stands in requestors[0] already"},
		"name with blanks":       {minimal + "requestors: [{names: [\"a b\"]}]\n", "holds blanks"},
		"active of a requestor":  {minimal + "requestors: [{names: [a], active: perhaps}]\n", "requestors[0].active: \"perhaps\", want allow or refuse"},
		"rate of a requestor":    {minimal + "requestors: [{names: [a], rate: -1}]\n", "requestors[0].rate: -1"},
		"limit of a requestor":   {minimal + "requestors: [{names: [a], max_subscriptions: -1}]\n", "limits must be 0"},
		"server duid":            {minimal + "server_duid: \"00\"\n", "3 to 130 octets"},
		"cluster without others": {minimal + "cluster: {bootstrap_expect: 3}\n", "cluster.join"},
		"duplicate key":          {minimal + "name: m\n", "line 3"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Parse("/d/f.yaml", []byte(tc.file), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestSetsLieOverTheFile(t *testing.T) {
	c, _, err := Parse("f.yaml", []byte(minimal+"bulk:\n  max_connections: 20\n"), []string{
		"bulk.max_connections=2000", "bulk.idle_timeout=400s", "read.hold=1s", "relay_data=always",
		`requestors=[{prefixes: ["::1/128"]}]`, `leasequery.listen="[::1]:1547"`,
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Bulk.MaxConnections != 2000 || c.Bulk.IdleTimeout != 400*time.Second || c.Read.Hold != time.Second || c.RelayData != (RelayData{Always, InClientData}) ||
		len(c.Requestors) != 1 || c.Leasequery.Listen.Port() != 1547 {
		t.Errorf("got %+v", c)
	}
	for _, bad := range []string{"bulk", "=1", "bulk.nothing=1", "name.first=x", "bulk.max_connections=[", "bulk.max_connections=0"} {
		if _, _, err := Parse("f.yaml", []byte(minimal), []string{bad}); err == nil {
			t.Errorf("--set %q was accepted", bad)
		}
	}
}

func TestTimeoutsUnderTheRFCWarn(t *testing.T) {
	_, warnings, err := Parse("f.yaml", []byte(minimal+"requestors: [{prefixes: [\"::1/128\"]}]\nbulk: {data_timeout: 10s}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || warnings[0].Key != "bulk.data_timeout" || warnings[0].Line != 4 {
		t.Errorf("warnings %v, want one about bulk.data_timeout on line 4", warnings)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Reference(), "bulk.max_connections=3")
	f.Add([]byte(minimal), "requestors=[]")
	f.Add([]byte("&a [*a]"), "a.b=1")
	f.Fuzz(func(t *testing.T, data []byte, set string) {
		c, _, err := Parse("f", data, []string{set})
		if err == nil && (c.Name == "" || c.Bulk.MaxConnections < 1) {
			t.Errorf("accepted %+v", c)
		}
	})
}
