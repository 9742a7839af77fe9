package kea

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// rig is a Server that runs: its listener, and its runs into one cluster.
type rig struct {
	t      testing.TB
	ctx    context.Context
	server *Server
	sink   *clusterSink
	url    string
	stop   func()
	group  sync.WaitGroup
	client *http.Client
}

// listen is a listener on loopback.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start runs a server whose listener is config.Push, or a new one.
func start(t testing.TB, config ServerConfig) *rig {
	t.Helper()
	if config.Push == nil {
		config.Push = listen(t)
	}
	s, err := NewServer(config)
	if err != nil {
		t.Fatal(err)
	}
	now := config.now
	if now == nil {
		now = time.Now
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // only to end a test that hangs
	r := &rig{t: t, ctx: ctx, server: s, sink: newClusterSink(now), url: "http://" + config.Push.Addr().String() + "/",
		client: &http.Client{Transport: &http.Transport{}}}
	serving, end := context.WithCancel(ctx)
	r.group.Go(func() {
		if err := s.Serve(serving); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	r.run()
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		r.stop()
		end()
		r.group.Wait()
		cancel()
	})
	return r
}

// run begins a run; stop ends it, as the agent does when the cluster has lost the epoch.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.server.Run(ctx, r.sink); err == nil || ctx.Err() == nil {
			r.t.Errorf("Run ended with %v", err)
		}
	}()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
}

// reply is what a peer was answered.
type pushReply struct {
	status int
	result int
	text   string
	failed []map[string]any
	raw    string
}

// post sends a body and reads the answer as Kea does: a list of one element, or an object.
func (r *rig) post(body string) pushReply {
	r.t.Helper()
	reply, err := post(r.ctx, r.client, r.url, body, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply
}

func post(ctx context.Context, client *http.Client, url, body string, prepare func(*http.Request)) (pushReply, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return pushReply{}, err
	}
	q.Header.Set("Content-Type", "application/json")
	if prepare != nil {
		prepare(q)
	}
	response, err := client.Do(q)
	if err != nil {
		return pushReply{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return pushReply{}, err
	}
	return readReply(response.StatusCode, text)
}

func readReply(status int, text []byte) (pushReply, error) {
	var one struct {
		Result    *int
		Text      string
		Arguments struct {
			Failed  []map[string]any `json:"failed-leases"`
			Deleted []map[string]any `json:"failed-deleted-leases"`
		}
	}
	object := bytes.TrimSuffix(bytes.TrimPrefix(bytes.TrimSpace(text), []byte("[")), []byte("]"))
	if bytes.Contains(text, []byte(`"arguments":[`)) {
		object = bytes.Replace(object, []byte(`"arguments":[`), []byte(`"list":[`), 1)
	}
	if err := json.Unmarshal(object, &one); err != nil || one.Result == nil {
		return pushReply{}, fmt.Errorf("answer %q: %w", text, err)
	}
	return pushReply{status, *one.Result, one.Text, append(one.Arguments.Failed, one.Arguments.Deleted...), string(text)}, nil
}

// recordings are what real Keas sent to a backup peer.
func recordings(t testing.TB) []string {
	files, err := filepath.Glob("testdata/kea-*/ha-backup*.jsonl")
	if err != nil || len(files) != 4 {
		t.Fatalf("recordings: %v, %v", files, err)
	}
	return files
}

// recorded are the bodies of a recording, in order, with the connection of each.
func recorded(t testing.TB, path string) (bodies []string, conns []int) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct {
			Event string
			Conn  int
			Body  json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if e.Event == "request" && len(e.Body) > 0 && e.Body[0] == '{' {
			bodies, conns = append(bodies, string(e.Body)), append(conns, e.Conn)
		}
	}
	if lines.Err() != nil || len(bodies) == 0 {
		t.Fatal(lines.Err())
	}
	return bodies, conns
}

// naive reads bodies as simply as can be: the last word on an address counts.
func naive(t testing.TB, bodies []string) map[string]string {
	set := map[string]string{}
	for _, b := range bodies {
		var q struct {
			Arguments struct {
				Leases  []map[string]any
				Deleted []map[string]any `json:"deleted-leases"`
			}
		}
		d := json.NewDecoder(strings.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&q); err != nil {
			t.Fatal(err)
		}
		for _, l := range q.Arguments.Deleted {
			delete(set, l["ip-address"].(string))
		}
		for _, l := range q.Arguments.Leases {
			address := l["ip-address"].(string)
			if fmt.Sprint(l["state"]) != "0" || fmt.Sprint(l["valid-lft"]) == "0" {
				delete(set, address)
				continue
			}
			bits := any("128")
			if l["type"] == "IA_PD" {
				bits = l["prefix-len"]
			}
			expire, _ := l["expire"].(json.Number).Int64()
			valid, _ := l["valid-lft"].(json.Number).Int64()
			hops := 0
			if c, ok := l["user-context"].(map[string]any); ok {
				for _, list := range c["ISC"].(map[string]any) {
					hops = len(list.([]any))
				}
			}
			set[address] = fmt.Sprintf("/%v %v iaid %v valid %v preferred %v cltt %d subnet %v hops %d", bits, strings.ReplaceAll(l["duid"].(string), ":", ""),
				l["iaid"], valid, l["preferred-lft"], expire-valid, l["subnet-id"], hops)
		}
	}
	return set
}

// set is what the cluster has, in the words of naive.
func (c *clusterSink) set() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	set := map[string]string{}
	for p, l := range c.leases {
		set[p.Addr().String()] = fmt.Sprintf("/%d %x iaid %d valid %d preferred %d cltt %d subnet %s hops %d", p.Bits(), l.GetDuid(), l.GetIaid(), l.GetValid(),
			l.GetPreferred(), l.GetStamp(), l.GetLinkName(), len(l.GetRelays()))
	}
	return set
}

// recordedNow is when the recordings were made: nothing in them has run out.
func recordedNow() time.Time { return time.Unix(someCLTT+300, 0) }

func TestRecordedPushesReplay(t *testing.T) {
	for _, path := range recordings(t) {
		t.Run(path, func(t *testing.T) {
			bodies, conns := recorded(t, path)
			r := start(t, ServerConfig{now: recordedNow})
			clients := map[int]*http.Client{}
			for i, b := range bodies {
				c := clients[conns[i]]
				if c == nil {
					c = &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
					clients[conns[i]] = c
					defer c.CloseIdleConnections()
				}
				reply, err := post(t.Context(), c, r.url, b, nil)
				if err != nil || reply.status != http.StatusOK || reply.result != 0 || len(reply.failed) != 0 || !strings.HasPrefix(reply.raw, "[") {
					t.Fatalf("request %d: %+v, %v", i, reply, err)
				}
			}
			if diff := cmp.Diff(naive(t, bodies), r.sink.set()); diff != "" {
				t.Errorf("(-independent reader +cluster):\n%s", diff)
			}
			if got := r.server.Totals(); got.Requests != uint64(len(bodies)) || got.Refused+got.Unread+got.Degraded != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestRecordedPushesInOneList replays all leases of a recording at once, as one request in a list.
func TestRecordedPushesInOneList(t *testing.T) {
	bodies, _ := recorded(t, "testdata/kea-2.2/ha-backup.jsonl")
	r := start(t, ServerConfig{now: recordedNow})
	for _, b := range bodies {
		if reply := r.post(" [" + b + "] "); reply.result != 0 {
			t.Fatal(reply)
		}
	}
	if diff := cmp.Diff(naive(t, bodies), r.sink.set()); diff != "" {
		t.Errorf("(-independent reader +cluster):\n%s", diff)
	}
}

// someLease is a lease in the words of lease6-bulk-apply.
func someLease(i int, members map[string]any) map[string]any {
	l := map[string]any{"ip-address": fmt.Sprintf("2001:db8::%x", i+1), "type": "IA_NA", "duid": fmt.Sprintf("00:03:00:01:%02x:%02x", i>>8&255, i&255), "iaid": i,
		"valid-lft": 7200, "preferred-lft": 3600, "expire": recordedNow().Unix() + 7200, "subnet-id": 1, "state": 0}
	maps.Copy(l, members)
	return l
}

func bulk(leases, deleted []map[string]any) string {
	if leases == nil {
		leases = []map[string]any{}
	}
	text, err := json.Marshal(map[string]any{"command": "lease6-bulk-apply", "service": []string{"dhcp6"},
		"arguments": map[string]any{"leases": leases, "deleted-leases": deleted}})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestEndsOfPushes(t *testing.T) {
	r := start(t, ServerConfig{now: recordedNow})
	r.post(bulk([]map[string]any{someLease(0, nil), someLease(1, nil), someLease(2, nil), someLease(3, nil), someLease(4, nil)}, nil))
	r.post(bulk([]map[string]any{
		someLease(1, map[string]any{"state": 1, "duid": "00:00:00"}), // declined: whoever has it
		someLease(2, map[string]any{"state": 3, "valid-lft": 0, "expire": recordedNow().Unix()}),
		someLease(3, map[string]any{"state": 4}),
	}, []map[string]any{someLease(0, nil)}))
	var got []string
	for _, e := range r.sink.ends {
		got = append(got, fmt.Sprintf("%v %v duid %x age %d", prefixOf(e.GetAddress(), e.GetPrefixLength()), e.GetReason(), e.GetDuid(), e.GetAgeMs()))
	}
	want := []string{
		"2001:db8::1/128 REASON_RELEASED duid 000300010000 age 0",
		"2001:db8::2/128 REASON_DECLINED duid  age 0",
		"2001:db8::3/128 REASON_RELEASED duid 000300010002 age 0",
		"2001:db8::4/128 REASON_DELETED duid  age 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(r.sink.leases) != 1 || r.sink.leases[netip.MustParsePrefix("2001:db8::5/128")] == nil {
		t.Errorf("%v", r.sink.leases)
	}
}

// TestBadLeaseCostsOnlyItself: it is named and counted, and the good ones are taken.
func TestBadLeaseCostsOnlyItself(t *testing.T) {
	r := start(t, ServerConfig{now: recordedNow})
	reply := r.post(bulk(
		[]map[string]any{someLease(0, nil), someLease(1, map[string]any{"duid": "xyz"}), someLease(2, nil), {"ip-address": strings.Repeat("9", 200)}},
		[]map[string]any{someLease(3, map[string]any{"iaid": -1})}))
	if reply.status != http.StatusOK || reply.result != 0 || len(reply.failed) != 3 {
		t.Fatalf("%+v", reply)
	}
	want := map[string]any{"type": "IA_NA", "ip-address": "2001:db8::2", "subnet-id": 1.0, "result": 1.0,
		"error-message": `lease6-bulk-apply, leases[1]: field duid: not a DUID of 1 to 130 octets in hex: "xyz"`}
	if diff := cmp.Diff(want, reply.failed[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(reply.raw) > 2000 {
		t.Errorf("the answer has %d octets", len(reply.raw))
	}
	if len(r.sink.leases) != 2 || r.server.Condition().Refused != 3 {
		t.Errorf("%d leases, %d refused", len(r.sink.leases), r.server.Condition().Refused)
	}
}

// TestPushesAreHeldWhileTheClusterIsAway: no answer before the receipt, and none is an error.
func TestPushesAreHeldWhileTheClusterIsAway(t *testing.T) {
	r := start(t, ServerConfig{now: recordedNow})
	r.sink.comesBack(false)
	replies := make(chan pushReply)
	const n = 8
	for i := range n {
		r.group.Go(func() {
			reply, err := post(r.ctx, r.client, r.url, bulk([]map[string]any{someLease(i, nil)}, nil), nil)
			if err != nil {
				t.Error(err)
			}
			replies <- reply
		})
	}
	if err := r.sink.has(r.ctx, func() bool { return len(r.sink.leases) == n }); err != nil {
		t.Fatal(err)
	}
	select {
	case reply := <-replies:
		t.Fatalf("answered before the cluster had it: %+v", reply)
	default:
	}
	r.sink.comesBack(true)
	for range n {
		if reply := <-replies; reply.result != 0 {
			t.Errorf("%+v", reply)
		}
	}
}

// TestRequestsThatWaitOutliveTheEpoch: they are stated again in the next run, and answered by its receipt.
func TestRequestsThatWaitOutliveTheEpoch(t *testing.T) {
	r := start(t, ServerConfig{now: recordedNow})
	r.sink.comesBack(false)
	replies := make(chan pushReply)
	r.group.Go(func() {
		reply, err := post(r.ctx, r.client, r.url, bulk([]map[string]any{someLease(0, nil), someLease(1, nil)}, nil), nil)
		if err != nil {
			t.Error(err)
		}
		replies <- reply
	})
	if err := r.sink.has(r.ctx, func() bool { return len(r.sink.leases) == 2 }); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.sink.loses()
	r.sink.mu.Lock()
	clear(r.sink.leases)
	r.sink.mu.Unlock()
	r.run()
	if err := r.sink.has(r.ctx, func() bool { return len(r.sink.leases) == 2 }); err != nil {
		t.Fatal(err)
	}
	r.sink.comesBack(true)
	if reply := <-replies; reply.result != 0 {
		t.Errorf("%+v", reply)
	}
}

// TestEarlyAnswers leave while the cluster is away, until so much is kept for it that Kea has to wait.
func TestEarlyAnswers(t *testing.T) {
	r := start(t, ServerConfig{Leases: filepath.Join(t.TempDir(), "absent"), PushEarly: true, now: recordedNow})
	r.sink.comesBack(false)
	for i := range 20 {
		if reply := r.post(bulk([]map[string]any{someLease(i, nil)}, nil)); reply.result != 0 {
			t.Fatal(reply)
		}
	}
	if err := r.sink.has(r.ctx, func() bool { return len(r.sink.leases) == 20 }); err != nil {
		t.Fatal(err)
	}
	var many []map[string]any
	for i := range 4000 {
		many = append(many, someLease(i, nil))
	}
	for range heldEarly / len(many) {
		if reply := r.post(bulk(many, nil)); reply.result != 0 {
			t.Fatal(reply)
		}
	}
	// The next one has its time for itself.
	if err := r.sink.has(r.ctx, func() bool { return r.sink.changes == 20+heldEarly/len(many)*len(many) }); err != nil {
		t.Fatal(err)
	}
	replied := make(chan pushReply)
	r.group.Go(func() {
		reply, err := post(r.ctx, r.client, r.url, bulk(many, nil), nil)
		if err != nil {
			t.Error(err)
		}
		replied <- reply
	})
	if err := r.sink.has(r.ctx, func() bool { return r.server.queue.much() }); err != nil {
		t.Fatal(err)
	}
	select {
	case reply := <-replied:
		t.Errorf("answered: %+v", reply)
	default:
	}
	r.sink.comesBack(true)
	if reply := <-replied; reply.result != 0 {
		t.Error(reply)
	}
}
